//! Membership checks, which rooms answers.
//!
//! There is no cache. Checks that arrive while calls are in flight share the next call, so that a
//! strict check of every send, read and subscription costs little.

use std::collections::HashMap;
use std::time::Duration;

use parlance_core::{ErrorCode, RoomId, UserId};
use parlance_proto::rooms::rooms_service_client::RoomsServiceClient;
use parlance_proto::rooms::{
    self as proto, CheckMembershipsRequest, MembershipQuestion, MembershipStatus,
};
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Client;
use parlance_runtime::{BatchLimits, Batcher, Lifecycle};

/// The weight of a call is the number of its checks. Several calls may be in flight, so that a slow
/// one does not delay all others.
const LIMITS: BatchLimits<Vec<Check>> = BatchLimits {
    max_queued: 10_000,
    timeout: Duration::from_secs(2),
    max_calls: 4,
    max_weight: 5_000,
    weight: Vec::len,
};

/// The question whether a user is a member of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Check {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
}

/// A membership.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) is_owner: bool,
    /// The room version at the time of the check.
    pub(crate) room_version: i64,
}

/// A membership, or why there is none: `room_not_found`, `not_a_member`, `unavailable`.
pub(crate) type CheckResult = Result<Membership, ErrorCode>;

/// The client for membership checks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Memberships {
    batcher: Batcher<Vec<Check>, Vec<CheckResult>>,
}

impl Memberships {
    /// Starts the batcher.
    pub(crate) fn start(rooms: RoomsServiceClient<Client>, lifecycle: &Lifecycle) -> Self {
        let call = move |requests| call_rooms(rooms.clone(), requests);
        Self { batcher: Batcher::start("membership checks", LIMITS, call, lifecycle) }
    }

    /// Checks one membership.
    pub(crate) async fn check(&self, room_id: RoomId, user_id: UserId) -> CheckResult {
        self.check_all(vec![Check { room_id, user_id }]).await.remove(0)
    }

    /// Checks many memberships. Returns the results in the order of the checks; `unavailable` for
    /// all of them if rooms does not answer.
    pub(crate) async fn check_all(&self, checks: Vec<Check>) -> Vec<CheckResult> {
        let count = checks.len();
        self.batcher.call(checks).await.unwrap_or_else(|code| vec![Err(code); count])
    }
}

/// Sends all checks of several requests in one call, equal ones once.
async fn call_rooms(
    mut rooms: RoomsServiceClient<Client>,
    requests: Vec<Vec<Check>>,
) -> Result<Vec<Vec<CheckResult>>, ErrorCode> {
    let mut positions: HashMap<Check, usize> = HashMap::new();
    let mut questions = Vec::new();
    for &check in requests.iter().flatten() {
        positions.entry(check).or_insert_with(|| {
            questions.push(MembershipQuestion {
                room_id: check.room_id.get(),
                user_id: check.user_id.get(),
            });
            questions.len() - 1
        });
    }
    let response = rooms.check_memberships(CheckMembershipsRequest { questions }).await;
    let answers = response.map_err(|status| code_from_status(&status))?.into_inner().answers;
    let result =
        |check: &Check| answers.get(positions[check]).map_or(Err(ErrorCode::Internal), decode);
    Ok(requests.iter().map(|checks| checks.iter().map(result).collect()).collect())
}

fn decode(answer: &proto::MembershipAnswer) -> CheckResult {
    let membership = |is_owner| Ok(Membership { is_owner, room_version: answer.room_version });
    match answer.status() {
        MembershipStatus::Owner => membership(true),
        MembershipStatus::Member => membership(false),
        MembershipStatus::NotMember => Err(ErrorCode::NotAMember),
        MembershipStatus::RoomNotFound => Err(ErrorCode::RoomNotFound),
        MembershipStatus::Unspecified => Err(ErrorCode::Internal),
    }
}
