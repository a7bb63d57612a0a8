//! What every request needs.

use parlance_core::Clock;
use parlance_runtime::grpc::Credential;
use parlance_runtime::{Lifecycle, postgres};
use sqlx::PgPool;

use crate::config::Config;
use crate::rooms::Rooms;

/// The dependencies of the use cases. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) rooms: Rooms,
}

impl App {
    pub(crate) fn new(
        config: &Config,
        credential: &Credential,
        clock: Clock,
        lifecycle: &Lifecycle,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            pool: postgres::pool(crate::SERVICE, &config.postgres)?,
            clock,
            lifecycle: lifecycle.clone(),
            rooms: Rooms::new(config, credential, lifecycle)?,
        })
    }
}
