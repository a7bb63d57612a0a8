//! The text frames of the protocol, one JSON object each.

mod client_frame;
mod server_frame;

pub(crate) use client_frame::{ClientFrame, Request};
pub(crate) use server_frame::{ErrorFrame, ServerFrame, SuccessFields, authenticated, success};
