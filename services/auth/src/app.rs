//! What the use cases of the service share.

use std::sync::Arc;

use parlance_core::Clock;
use parlance_runtime::Lifecycle;
use sqlx::PgPool;
use tokio::sync::watch;

use crate::access::Access;
use crate::config::TokenConfig;
use crate::guessing::Guessing;
use crate::passwords::Passwords;

/// The dependencies of the use cases. Built once, at start.
pub(crate) struct App {
    pub(crate) pool: PgPool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) passwords: Passwords,
    pub(crate) guessing: Guessing,
    pub(crate) tokens: TokenConfig,
    /// Kept fresh by `background::refresh_access`.
    pub(crate) access: watch::Receiver<Arc<Access>>,
}
