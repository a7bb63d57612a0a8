//! Finds rooms whose deletion this service has missed: compares the rooms that have messages with
//! those that rooms knows, page by page. Runs when the process starts, when the membership log did
//! not reach back far enough, and when more rooms were deleted at once than the queue of the purge
//! holds.

use std::time::Duration;

use parlance_core::RoomId;
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{CheckMembershipsRequest, MembershipQuestion, MembershipStatus};
use parlance_runtime::Lifecycle;
use parlance_runtime::error::{chain, code_from_status};
use parlance_runtime::grpc::Client;
use parlance_runtime::postgres::Pool;
use tokio::time::sleep;

use crate::background::purge::DeletedRooms;
use crate::error::Error;
use crate::store::room_heads::{self, RoomHead};
use crate::store::with_timeout;

/// Rooms that one call asks for.
const PAGE: i64 = 1_000;
/// The pause after a page, so that requests of clients do not wait.
const PAGE_PAUSE: Duration = Duration::from_millis(200);
const READ_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before another comparison.
const PAUSE: Duration = Duration::from_secs(5);
/// A question names a user, whose membership does not matter here.
const NO_USER: i64 = 0;

/// Starts the task. Deleted rooms go to `deleted_rooms`.
pub(crate) fn start(pool: Pool, rooms: Client, deleted_rooms: DeletedRooms, lifecycle: &Lifecycle) {
    let mut replicas = rooms.replicas();
    let comparison = Comparison { pool, rooms: RoomsServiceClient::new(rooms), deleted_rooms };
    lifecycle.spawn_task("comparison of rooms", async move {
        replicas.wait_for(|replicas| !replicas.is_empty()).await?;
        comparison.run().await
    });
}

struct Comparison {
    pool: Pool,
    rooms: RoomsServiceClient<Client>,
    deleted_rooms: DeletedRooms,
}

impl Comparison {
    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            while let Err(error) = self.compare_all().await {
                tracing::warn!(error = chain(&error), "cannot compare the rooms; retrying");
                sleep(PAUSE).await;
            }
            self.deleted_rooms.missed().await;
            sleep(PAUSE).await;
        }
    }

    /// Purges nothing while rooms knows none of the rooms: it may be connected to another database.
    async fn compare_all(&mut self) -> Result<(), Error> {
        let mut is_known = false;
        while let Pass { is_known: true, is_skipped: true } = self.pass(&mut is_known).await? {}
        Ok(())
    }

    /// Compares all rooms, the newest first. Skips those that are unknown to rooms until it has
    /// known one.
    async fn pass(&mut self, is_known: &mut bool) -> Result<Pass, Error> {
        let mut is_skipped = false;
        let mut before = RoomId::new(i64::MAX);
        loop {
            let heads = with_timeout(READ_TIMEOUT, self.read(before)).await?;
            let Some(last) = heads.last() else { break };
            before = last.room_id;
            let left_over = heads.iter().filter(|head| head.is_left_over);
            let (unknown, has_known) = self.find_unknown(&heads).await?;
            *is_known |= has_known;
            is_skipped |= !*is_known && !unknown.is_empty();
            let unknown = unknown.into_iter().filter(|_| *is_known);
            for room_id in left_over.map(|head| head.room_id).chain(unknown) {
                self.deleted_rooms.queue(room_id).await;
            }
            sleep(PAGE_PAUSE).await;
        }
        if is_skipped && !*is_known {
            tracing::warn!("rooms knows none of the rooms that have messages; purging nothing");
        }
        Ok(Pass { is_known: *is_known, is_skipped })
    }

    async fn read(&self, before: RoomId) -> sqlx::Result<Vec<RoomHead>> {
        room_heads::list_before(&mut *self.pool.acquire().await?, before, PAGE).await
    }

    /// Returns the rooms that are not marked as deleted and unknown to rooms, and true if rooms
    /// knows one of the others. Rooms were read before, and their ids are not used again: one that
    /// is unknown now was deleted.
    async fn find_unknown(&mut self, heads: &[RoomHead]) -> Result<(Vec<RoomId>, bool), Error> {
        let room_ids: Vec<RoomId> =
            heads.iter().filter(|head| !head.deleted).map(|head| head.room_id).collect();
        if room_ids.is_empty() {
            return Ok((Vec::new(), false));
        }
        let question = |id: &RoomId| MembershipQuestion { room_id: id.get(), user_id: NO_USER };
        let questions = room_ids.iter().map(question).collect();
        let response = self.rooms.check_memberships(CheckMembershipsRequest { questions }).await;
        let answers = response.map_err(|status| code_from_status(&status))?.into_inner().answers;
        let count = room_ids.len();
        let answered = room_ids.into_iter().zip(&answers);
        let unknown: Vec<RoomId> = answered
            .filter(|(_, answer)| answer.status() == MembershipStatus::RoomNotFound)
            .map(|(room_id, _)| room_id)
            .collect();
        let has_known = unknown.len() < count;
        Ok((unknown, has_known))
    }
}

/// What became of one pass.
struct Pass {
    /// True if rooms knows at least one room.
    is_known: bool,
    /// True if unknown rooms were skipped.
    is_skipped: bool,
}
