//! Caches of what the services answered, each with a fixed bound.

mod forgotten;
pub(crate) mod newest_pages;
pub(crate) mod users;
