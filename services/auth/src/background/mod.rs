//! Tasks that run as long as the process.

use std::time::Duration;

pub(crate) mod purge_log_ins;
pub(crate) mod purge_sessions;
pub(crate) mod refresh_access;
pub(crate) mod refresh_issuers;

/// More than the clocks of replicas and gateways differ by.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(600);
