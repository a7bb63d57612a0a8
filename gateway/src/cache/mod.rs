//! What the gateway remembers of the services' answers, each cache within a fixed bound.

pub(crate) mod newest_pages;
pub(crate) mod users;
