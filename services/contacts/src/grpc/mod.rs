//! The gRPC API: decodes a request, calls the use case, encodes its result. Only this module knows
//! the generated types of this service.

mod convert;
mod service;

pub(crate) use service::Service;
