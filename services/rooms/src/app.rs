//! What the use cases of the service share.

use std::sync::Arc;
use std::time::Duration;

use parlance_core::Clock;
use parlance_runtime::Lifecycle;
use parlance_runtime::postgres::Pool;
use tokio::sync::watch;

use crate::answer_budget::AnswerBudget;
use crate::change_queue::ChangeQueue;
use crate::member_cache::MemberCache;

/// The dependencies of the use cases. Built once, at start; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: Pool,
    /// Connections for membership checks and for the log of ended memberships, which every send
    /// waits for. Reads of rooms do not use them.
    pub(crate) vital_pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) member_cache: MemberCache,
    pub(crate) answer_budget: AnswerBudget,
    pub(crate) change_queue: ChangeQueue,
    pub(crate) membership_log_retention: Duration,
    /// Notified when this replica has ended a membership, so that its watchers read the log at
    /// once.
    pub(crate) membership_ended: Arc<watch::Sender<()>>,
}
