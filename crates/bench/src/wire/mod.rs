//! Clients that cost little: of what a server sends they look at no more than a measurement needs.

mod frames;
pub(crate) mod http;
mod socket;

pub(crate) use frames::encode;
pub(crate) use http::HttpConnection;
pub(crate) use socket::{CountingSocket, Door, OutSocket, Socket};
