//! Who is no longer a member: follows the log of ended memberships that rooms keeps, and tells the
//! gateways.
//!
//! The log is the same at every replica of rooms, and each is followed. So an end comes from
//! whichever tells it first, and a replica that hangs, or the way to it, keeps nobody's
//! subscription alive. That an end comes more than once does no harm: it says which version of the
//! room it made, and what is older than a subscription is old news to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parlance_core::{RoomId, UserId};
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{self as proto, WatchMembershipsRequest, WatchMembershipsResponse};
use parlance_runtime::Lifecycle;
use parlance_runtime::grpc::{Client, Replica};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::gateways::Gateways;
use crate::model::{EndReason, MembershipEnd};

/// A stream without a sign of life for this long is given up; rooms sends one every 5 s.
const SILENCE_LIMIT: Duration = Duration::from_secs(15);
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// Where a new process begins: at the oldest change that rooms remembers. One that began at the
/// present would miss what ends between the first subscription and its first batch, and rooms that
/// were deleted while no replica ran.
const OLDEST_CURSOR: u64 = 1;

/// Follows the log at each replica of rooms for as long as the process lives: tells the gateways,
/// and announces deleted rooms.
pub(crate) fn follow(
    rooms: Client,
    gateways: Gateways,
    deleted_rooms: mpsc::Sender<RoomId>,
    lifecycle: &Lifecycle,
) {
    let cursor = Arc::new(AtomicU64::new(OLDEST_CURSOR));
    let follower = Follower { rooms: rooms.clone(), gateways, deleted_rooms, cursor };
    lifecycle.spawn_task("ends of memberships", async move {
        rooms.run_for_each_replica(|replica| follower.clone().follow_forever(replica), || {}).await
    });
}

#[derive(Clone)]
struct Follower {
    rooms: Client,
    gateways: Gateways,
    deleted_rooms: mpsc::Sender<RoomId>,
    /// Everything below has been told, by whichever replica. Where a stream begins.
    cursor: Arc<AtomicU64>,
}

impl Follower {
    async fn follow_forever(self, replica: Replica) {
        loop {
            if let Err(status) = self.follow(&replica).await {
                let (replica, error) = (replica.address(), status.message());
                tracing::debug!(%replica, error, "the log of memberships cannot be followed right now");
            }
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// Follows one stream until it ends.
    async fn follow(&self, replica: &Replica) -> Result<(), Status> {
        let mut cursor = self.cursor.load(Ordering::Acquire);
        let request = self.rooms.authorize(WatchMembershipsRequest { cursor });
        let mut client = RoomsServiceClient::new(replica.channel());
        let answer = timeout(SILENCE_LIMIT, client.watch_memberships(request)).await;
        let mut stream = answer.map_err(|_| silent())??.into_inner();
        while let Some(batch) = next(&mut stream).await? {
            if batch.reset {
                if cursor != self.cursor.load(Ordering::Acquire) {
                    // Another replica has told more, or was reset as well: begin again where that
                    // one is.
                    return Ok(());
                }
                tracing::warn!(
                    "the log of memberships does not reach back far enough: all gateways attach anew"
                );
                self.gateways.cut_all();
            }
            cursor = batch.cursor;
            self.tell(&batch).await;
            if batch.reset {
                // Lower than before, if the database is another one.
                self.cursor.store(cursor, Ordering::Release);
            } else {
                self.cursor.fetch_max(cursor, Ordering::AcqRel);
            }
        }
        Ok(())
    }

    async fn tell(&self, batch: &WatchMembershipsResponse) {
        let ends: Vec<MembershipEnd> = batch.ends.iter().filter_map(decode).collect();
        self.gateways.deliver_ends(&ends);
        for end in ends.iter().filter(|end| end.reason == EndReason::RoomDeleted) {
            // Beyond the bound of the queue this waits: the log does not run away.
            let _ = self.deleted_rooms.send(end.room_id).await;
        }
    }
}

async fn next(
    stream: &mut Streaming<WatchMembershipsResponse>,
) -> Result<Option<WatchMembershipsResponse>, Status> {
    timeout(SILENCE_LIMIT, stream.message()).await.map_err(|_| silent())?
}

fn silent() -> Status {
    Status::deadline_exceeded("no sign of life")
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
