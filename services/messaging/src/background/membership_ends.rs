//! Follows the log of membership changes that rooms keeps, and delivers ended memberships to the
//! gateways.
//!
//! Every replica of rooms serves the same log, and all of them are followed. So an end arrives from
//! the fastest replica, and a replica that hangs delays nothing. An end that arrives twice does no
//! harm: it carries the room version that it made, and the gateway ignores it for subscriptions
//! that are newer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{self as proto, WatchMembershipsRequest, WatchMembershipsResponse};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::{Client, Replica};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::background::purge::DeletedRooms;
use crate::model::{EndReason, MembershipEnd};
use crate::streams::Streams;

/// A stream without a response for this long is reopened. rooms sends one every 5 s.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(15);
const RECONNECT_BACKOFF: Duration = Duration::from_millis(200);
/// Where a new process starts: at the oldest change in the log. Otherwise it would miss memberships
/// that end between its first subscription and the first response.
const OLDEST_CURSOR: u64 = 1;

/// Starts to follow the log at each replica of rooms. Ends go to `streams`, deleted rooms to
/// `deleted_rooms`.
pub(crate) fn start(
    rooms: Client,
    streams: Streams,
    deleted_rooms: DeletedRooms,
    lifecycle: &Lifecycle,
) {
    let cursor = Arc::new(AtomicU64::new(OLDEST_CURSOR));
    let follower = Follower { rooms: rooms.clone(), streams, deleted_rooms, cursor };
    lifecycle.spawn_task("membership ends", async move {
        rooms.run_for_each_replica(|replica| follower.clone().run(replica), || {}).await
    });
}

#[derive(Clone)]
struct Follower {
    rooms: Client,
    streams: Streams,
    deleted_rooms: DeletedRooms,
    /// Where a new stream starts. Every change before it was delivered.
    cursor: Arc<AtomicU64>,
}

impl Follower {
    async fn run(self, replica: Replica) {
        loop {
            if let Err(status) = self.follow(&replica).await {
                let (replica, error) = (replica.address(), status.message());
                tracing::debug!(%replica, error, "cannot follow the membership log; reconnecting");
            }
            tokio::time::sleep(RECONNECT_BACKOFF).await;
        }
    }

    /// Follows one stream until it ends.
    async fn follow(&self, replica: &Replica) -> Result<(), Status> {
        let mut cursor = self.cursor.load(Ordering::Acquire);
        let request = self.rooms.authorize(WatchMembershipsRequest { cursor });
        let mut client = RoomsServiceClient::new(replica.channel());
        let response = timeout(SILENCE_TIMEOUT, client.watch_memberships(request)).await;
        let mut stream = response.map_err(|_| silent())??.into_inner();
        while let Some(batch) = next(&mut stream).await? {
            if batch.reset {
                if cursor != self.cursor.load(Ordering::Acquire) {
                    // Another replica has delivered more, or was reset, too: start again from the
                    // shared cursor.
                    return Ok(());
                }
                tracing::warn!("the membership log was trimmed too early; closing all streams");
                self.streams.close_all();
                self.deleted_rooms.note_missed();
            }
            cursor = batch.cursor;
            self.deliver(&batch);
            if batch.reset {
                // The new cursor is lower if the database was replaced.
                self.cursor.store(cursor, Ordering::Release);
            } else {
                self.cursor.fetch_max(cursor, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    /// Waits for nothing: an end has to arrive within a second.
    fn deliver(&self, batch: &WatchMembershipsResponse) {
        let ends: Vec<MembershipEnd> = batch.ends.iter().filter_map(decode).collect();
        self.streams.deliver_ends(&ends);
        for end in ends.iter().filter(|end| end.reason == EndReason::RoomDeleted) {
            self.deleted_rooms.note(end.room_id);
        }
    }
}

async fn next(
    stream: &mut Streaming<WatchMembershipsResponse>,
) -> Result<Option<WatchMembershipsResponse>, Status> {
    timeout(SILENCE_TIMEOUT, stream.message()).await.map_err(|_| silent())?
}

fn silent() -> Status {
    Status::deadline_exceeded("the stream is silent")
}

fn decode(end: &proto::MembershipEnd) -> Option<MembershipEnd> {
    let reason = match end.reason() {
        proto::EndReason::Left => EndReason::Left,
        proto::EndReason::Removed => EndReason::Removed,
        proto::EndReason::RoomDeleted => EndReason::RoomDeleted,
        proto::EndReason::Unspecified => return None,
    };
    Some(MembershipEnd {
        room_id: RoomId::new(end.room_id),
        user_id: end.user_id.map(UserId::new),
        reason,
        room_version: end.room_version,
    })
}
