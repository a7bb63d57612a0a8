//! The receiver of what replicas of messaging send without being asked.

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::messaging::{AttachResponse, Subscribed};

/// Receives events from all streams. Each stream calls it from its own task.
pub(crate) trait EventHandler: Clone + Send + Sync + 'static {
    /// Handles the events, membership ends and `last_seq`s of a response. Its answers are passed on
    /// afterwards, and the next response is read after that.
    fn on_events(&self, response: AttachResponse) -> impl Future<Output = ()> + Send;

    /// Handles the answer to [`renew`](super::MessagingClient::renew).
    fn on_renewed(&self, renewal: Renewal);

    /// Handles a change of the attached replicas: rooms may have another owner replica now.
    fn on_replicas_changed(&self);
}

/// The answer to a renewed subscription.
pub(crate) struct Renewal {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
    pub(crate) result: Result<Subscribed, ErrorCode>,
}
