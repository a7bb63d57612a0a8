//! What the use cases of the service share.

use std::time::Duration;

use parlance_core::Clock;
use parlance_runtime::Lifecycle;
use parlance_runtime::postgres::Pool;

use crate::clients::rooms::RoomsClient;

/// The dependencies of the use cases. Built once, at start; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) pool: Pool,
    pub(crate) clock: Clock,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) rooms: RoomsClient,
    /// How long an invitation may stay unanswered, by the clock of the database.
    pub(crate) invitation_ttl: Duration,
    /// The most open invitations that a user may have made.
    pub(crate) max_open_invitations: u32,
}
