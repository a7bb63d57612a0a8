//! A TCP proxy on every route between two processes, and between clients and gateways. A proxy
//! passes bytes on unchanged until a network fault changes its [`Flow`].

mod flow;
mod proxies;
mod proxy;
mod pump;

pub use flow::{CloseKind, Flow};
pub use proxies::Proxies;
