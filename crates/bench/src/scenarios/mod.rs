//! The scenarios: each creates what it needs, runs its load and its baseline in turn, and returns
//! rows of the table.

mod fan_out;
mod growth;
mod idle;
mod latency;
mod login;
mod reads;
mod reconnect;
mod run;
mod sends;

pub(crate) use run::run;
