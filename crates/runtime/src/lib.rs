//! What every program of Parlance shares: settings, logs, metrics and traces, lifecycle, Postgres,
//! Redis, gRPC, health.

pub mod admin;
mod batcher;
pub mod config;
pub mod context;
pub mod error;
mod fair_queue;
pub mod grpc;
pub mod health;
mod lifecycle;
pub mod postgres;
pub mod redis;
mod service;
pub mod settings;
pub mod telemetry;
mod ticks;
mod tls;
pub mod trace;
mod values;

pub use batcher::{BatchLimits, Batcher};
pub use fair_queue::{FairQueue, Full};
pub use lifecycle::Lifecycle;
pub use service::Service;
pub use ticks::ticks;
