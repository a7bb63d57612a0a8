//! An authenticated connection, served by one task: it reads frames, handles them one after the
//! other and writes what is queued.

mod active_request;
mod in_flight;
mod requests;
mod run;
mod state;
mod timers;

pub(super) use state::Session;
