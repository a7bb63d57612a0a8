//! gRPC: decodes requests, calls `ops`, encodes answers. The only place that sees the generated
//! types, but for the queues of [`gateways`](crate::gateways), which hold what goes out.

mod attach;
pub(crate) mod encode;
mod service;

pub(crate) use service::serve;
