//! What the use cases of the service share.

use std::sync::Arc;

use parlance_core::Clock;
use parlance_runtime::Lifecycle;
use parlance_runtime::postgres::Pool;
use tokio::sync::watch;

use crate::access::Access;
use crate::config::{Registration, SessionConfig, TokenConfig};
use crate::ended_log::EndedLog;
use crate::exchange_metrics::ExchangeMetrics;
use crate::guessing::Guessing;
use crate::issuers::Issuers;
use crate::password_rules::PasswordRules;
use crate::passwords::Passwords;
use crate::refresh_turns::RefreshTurns;
use crate::session_metrics::SessionMetrics;

/// The dependencies of the use cases. Built once, at start.
pub(crate) struct App {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) passwords: Passwords,
    pub(crate) guessing: Guessing,
    pub(crate) password_rules: PasswordRules,
    pub(crate) registration: Registration,
    pub(crate) tokens: TokenConfig,
    pub(crate) sessions: SessionConfig,
    pub(crate) refresh_turns: RefreshTurns,
    pub(crate) session_metrics: SessionMetrics,
    pub(crate) exchange_metrics: ExchangeMetrics,
    /// Kept fresh by `background::refresh_issuers`.
    pub(crate) issuers: watch::Receiver<Arc<Issuers>>,
    /// Kept fresh by `background::refresh_access`.
    pub(crate) access: watch::Receiver<Arc<Access>>,
    /// Kept fresh by the same.
    pub(crate) ended: Arc<EndedLog>,
}
