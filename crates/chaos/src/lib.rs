//! Tests that Parlance keeps its promises under faults.
//!
//! A run starts a private Parlance with two replicas of everything, lets simulated clients chat
//! over real connections, injects faults on a seeded schedule, waits until all faults have ended
//! and all messages have arrived, and checks the recorded history.
//!
//! * [`plan`] decides everything beforehand, from a seed.
//! * [`run`] carries a plan out and returns the [`history`].
//! * [`nemesis`] injects the faults, [`network`] delays or cuts connections.
//! * [`checker`] reports each promise that a history breaks.
//! * [`scenarios`] measure single promises under the hardest condition.

pub mod checker;
pub mod clients;
mod connection;
pub mod history;
mod latency;
pub mod misbehaving;
pub mod nemesis;
pub mod network;
pub mod plan;
pub mod plot;
mod progress;
pub mod report;
pub mod run;
pub mod scenarios;
pub mod topology;
