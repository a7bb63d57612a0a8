//! HTTP itself: the server, and what every request passes before a handler sees it.

pub(crate) mod body;
pub(crate) mod cors;
pub(crate) mod middleware;
pub(crate) mod sampling;
pub(crate) mod server;
