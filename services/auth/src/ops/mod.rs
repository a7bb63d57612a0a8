//! The use cases, one a file.

pub(crate) mod find_users;
pub(crate) mod get_access_state;
pub(crate) mod get_users;
pub(crate) mod log_in;
pub(crate) mod make_first_key;
pub(crate) mod register;
pub(crate) mod rotate_keys;
pub(crate) mod set_active;

use crate::error::Error;

/// How many users can be looked up at once.
const LOOKUP_LIMIT: usize = 10_000;

fn check_lookup_size(size: usize) -> Result<(), Error> {
    if size > LOOKUP_LIMIT { Err(Error::TooManyRequested { limit: LOOKUP_LIMIT }) } else { Ok(()) }
}
