//! The REST endpoints, a file for each service behind them. A handler reads its input, calls the
//! service and adds the users to the answer.

pub(crate) mod auth;
mod client;
pub(crate) mod contacts;
pub(crate) mod docs;
pub mod dto;
pub(crate) mod extract;
pub(crate) mod health;
pub(crate) mod identities;
pub(crate) mod input;
pub(crate) mod messages;
pub(crate) mod openapi;
mod password_call;
pub(crate) mod passwords;
pub(crate) mod profile;
mod request_body;
mod response;
pub(crate) mod rooms;
pub(crate) mod sessions;
mod tokens;
