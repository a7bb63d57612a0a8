//! Tasks that run as long as the process.

pub(crate) mod trim_membership_log;
