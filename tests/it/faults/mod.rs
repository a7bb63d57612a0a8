//! Outages of single parts and recovery. Every test injects faults into a stack of its own.

mod calls;
mod replicas;
mod services;
mod stores;
