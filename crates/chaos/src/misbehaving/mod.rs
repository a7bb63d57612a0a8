//! Misbehaving clients. Their time is limited. Each knows what the contract lets a gateway answer
//! and reports any other answer as a breach.

mod flood;
mod garbage;
mod idle;
mod kind;
mod never_read;
mod raw;
mod run;
mod target;

pub use kind::Misbehaviour;
pub(crate) use run::run;
pub(crate) use target::Accounts;
