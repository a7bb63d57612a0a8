//! What the use cases of the service share.

use std::sync::Arc;

use parlance_core::Clock;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::config::TokenConfig;
use crate::passwords::Passwords;

/// Made once, at start.
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) passwords: Passwords,
    pub(crate) tokens: TokenConfig,
    /// Written by the task that follows the database.
    pub(crate) access: watch::Receiver<Arc<Access>>,
    /// Ends the streams.
    pub(crate) draining: CancellationToken,
}
