//! What every request needs.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::Clock;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::PgPool;
use tokio::sync::watch;

use crate::config::Config;
use crate::rosters::Rosters;

/// The dependencies of the use cases. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) rosters: Rosters,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) membership_log_retention: Duration,
    /// Marked whenever this process has ended a membership, so that its watchers need not wait for
    /// their next look.
    pub(crate) membership_ended: Arc<watch::Sender<()>>,
}

impl App {
    pub(crate) fn new(
        config: &Config,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            pool: postgres::pool(crate::SERVICE, &config.postgres)?,
            rosters: Rosters::new(),
            clock,
            lifecycle: lifecycle.clone(),
            membership_log_retention: config.membership_log_retention,
            membership_ended: Arc::new(watch::Sender::new(())),
        })
    }
}
