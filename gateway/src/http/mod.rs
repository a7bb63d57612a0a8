//! The HTTP server, and what every request passes before an endpoint.

pub(crate) mod body;
mod closing;
mod cors;
pub(crate) mod deadline;
mod exchange;
mod head;
pub(crate) mod middleware;
pub(crate) mod observation;
pub(crate) mod sampling;
mod security;
pub(crate) mod server;
pub(crate) mod transport;
