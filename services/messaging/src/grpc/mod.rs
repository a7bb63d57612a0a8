//! gRPC: decodes requests, calls `ops`, encodes results.

mod attach;
mod decode;
mod service;

pub(crate) use self::service::serve;
