//! gRPC: decodes requests, calls `ops`, encodes results.

mod attach;
mod decode;
mod service;
mod stream_clock;

pub(crate) use self::service::serve;
