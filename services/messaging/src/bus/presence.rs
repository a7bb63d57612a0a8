//! Whether there are other replicas to tell.
//!
//! Every replica listens to the channel of room 0, and publishes a heartbeat there at short
//! intervals. Redis answers with the number of those who have heard it. Is that one, and the
//! replica has heard it itself, then it is alone, and what is stored need not be published: a
//! replica that comes in the meantime finds it with the tail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::{ClientLike, PubsubInterface};
use parlance_core::RoomId;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Origin, channel_of};

/// The room whose channel everybody listens to. Nobody but the canary sends to it.
pub(super) const MEETING_PLACE: RoomId = RoomId::CANARY;

const INTERVAL: Duration = Duration::from_millis(200);
/// How long a replica may believe that it is alone without hearing it anew.
const VALIDITY: Duration = Duration::from_secs(1);

/// What this replica knows of others. Times are on the clock of its publications, in microseconds.
/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Presence {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Until when it is known that there are no others.
    alone_until: AtomicU64,
    /// When the last heartbeat was made that this replica has heard itself.
    heard: AtomicU64,
}

impl Presence {
    /// Whether there certainly were no other replicas a moment ago.
    pub(super) fn is_alone(&self, now_micros: u64) -> bool {
        now_micros < self.shared.alone_until.load(Ordering::Relaxed)
    }

    /// A heartbeat of this replica was heard.
    pub(super) fn note_heard(&self, made_micros: u64) {
        self.shared.heard.store(made_micros, Ordering::Relaxed);
    }

    /// Publishes heartbeats for as long as the process lives.
    pub(super) async fn keep_up(self, publisher: Client, origin: Origin) -> anyhow::Result<()> {
        let channel = channel_of(MEETING_PLACE);
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // When the last heartbeat was made that nobody but one has heard; who that was shows by the
        // next one.
        let mut heard_by_one = None;
        loop {
            ticks.tick().await;
            let made = origin.micros();
            let was_heard =
                heard_by_one.is_some_and(|made| self.shared.heard.load(Ordering::Relaxed) >= made);
            let alone_until = if was_heard { made + VALIDITY.as_micros() as u64 } else { 0 };
            self.shared.alone_until.store(alone_until, Ordering::Relaxed);
            heard_by_one = None;
            if publisher.is_connected() {
                let heartbeat = origin.head_at(made).to_be_bytes();
                let heard = publisher.spublish::<i64, _, _>(&channel, &heartbeat[..]);
                if matches!(timeout(INTERVAL, heard).await, Ok(Ok(1))) {
                    heard_by_one = Some(made);
                }
            }
        }
    }
}
