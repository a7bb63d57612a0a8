//! The nemesis: which faults there are, how a seed combines them, and how they are injected.

mod fault;
mod inject;
mod redis;
mod round;

pub use fault::{Fault, NetworkFault, ScheduledFaults};
pub(crate) use inject::{Injector, inject};
pub use round::Coverage;
pub(crate) use round::round;
