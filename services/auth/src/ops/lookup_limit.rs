//! The bound on look-ups of many users.

use crate::error::Error;

/// A larger look-up would delay the requests behind it.
const MAX_LOOKUP: usize = 10_000;

pub(super) fn check_lookup_size(size: usize) -> Result<(), Error> {
    if size > MAX_LOOKUP { Err(Error::TooManyRequested { limit: MAX_LOOKUP }) } else { Ok(()) }
}
