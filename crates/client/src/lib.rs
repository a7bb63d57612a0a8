//! A client of Parlance's public API: REST and WebSocket.
//!
//! End-to-end tests, `make chaos` and `make bench` use it. Every call has a timeout. The client
//! does not hide what a gateway answers: statuses, error codes, headers and close codes stay
//! visible.
//!
//! * [`Client`] sends a [`Request`] to one of several gateways and returns the [`Response`].
//! * [`endpoints`] has a function for each endpoint that makes its request.
//! * [`Account`] and the methods of [`Client`] next to it set up users, contacts and rooms.
//! * [`WebSocket`] is one connection to `/v1/messages/ws`.

mod account;
mod client;
pub mod endpoints;
mod error;
mod request;
mod response;
mod websocket;

pub use account::{Account, PASSWORD};
pub use client::{Client, Options};
pub use error::Error;
pub use http::{HeaderMap, Method, StatusCode};
pub use request::Request;
pub use response::Response;
pub use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::Message;
pub use websocket::{WebSocket, WebSocketOptions};
