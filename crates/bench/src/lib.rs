//! The benchmark: starts a private Parlance, puts the load of clients on it, runs a baseline beside
//! each scenario, and prints one table. It measures programs of its own build: use the profile
//! `dist`.

pub mod baselines;
mod bench;
mod cli;
pub mod curve;
pub mod goal;
pub mod http;
pub mod load;
pub mod machine;
mod open_files;
pub mod report;
pub mod row;
mod run;
pub mod scale;
mod scenario;
mod scenarios;
mod setup;
pub mod usage;
pub mod ws;

pub use cli::Cli;
