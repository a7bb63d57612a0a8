//! Abusers at one gateway, each kind alone and then all together, while 100 ordinary clients send,
//! read and log in: the gateway refuses none of them and stays fast for them.

mod abuser;
mod measure;
mod ordinary;
mod report;
mod setup;

pub(super) use measure::{measure, start};
