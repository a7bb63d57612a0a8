//! Tasks that run as long as the process.

pub(crate) mod purge_log_ins;
pub(crate) mod refresh_access;
