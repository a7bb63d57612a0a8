//! The REST handlers, a file for each service behind them: read the input, make the calls, join users into the answer.

pub(crate) mod auth;
pub(crate) mod contacts;
pub(crate) mod docs;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod rooms;

use crate::error::ApiError;

/// A message that a service must always fill in.
fn present<T>(part: Option<T>) -> Result<T, ApiError> {
    part.ok_or_else(|| ApiError::contract_broken("an answer misses its main part"))
}
