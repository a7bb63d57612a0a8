//! One run: start Parlance, create users and rooms, let clients chat, inject faults, and record.

mod environment;
mod execute;
mod final_state;
mod resources;
mod setup;

pub use environment::Environment;
pub(crate) use execute::finish;
pub use execute::{execute, execute_with_resources};
pub(crate) use resources::{metric, usage};
pub(crate) use setup::create_world;
