//! Caches of what the services answered, each with a fixed bound.

pub(crate) mod newest_pages;
pub(crate) mod users;
