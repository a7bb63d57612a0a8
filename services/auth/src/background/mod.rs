//! Tasks that run as long as the process.

pub(crate) mod refresh_access;
