//! What this service asks of rooms: who is a member.
//!
//! There is no cache. Questions that come up while others are being asked are collected and asked
//! together, so that a strict check for every send, read and subscription costs little.

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

/// A call weighs as much as the questions in it. There are several calls, as a slow one shall not
/// hold up everything.
const LIMITS: BatchLimits<Vec<Question>> = BatchLimits {
    max_queued: 10_000,
    timeout: Duration::from_secs(2),
    max_calls: 4,
    max_weight: 5_000,
    weight: Vec::len,
};

/// Is this user a member of this room?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Question {
    pub(crate) room_id: RoomId,
    pub(crate) user_id: UserId,
}

impl Question {
    /// May the canary send to its room, and hear of it?
    const CANARY: Self = Self { room_id: RoomId::CANARY, user_id: UserId::CANARY };
}

/// A membership.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    pub(crate) is_owner: bool,
    /// The number of membership changes the room had seen.
    pub(crate) room_version: i64,
}

/// The answer: a membership, or why there is none (`room_not_found`, `not_a_member`).
pub(crate) type Answer = Result<Membership, ErrorCode>;

/// Asks the rooms service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memberships {
    inquiries: Batcher<Vec<Question>, Vec<Answer>>,
}

impl Memberships {
    pub(crate) fn start(rooms: RoomsServiceClient<Client>, lifecycle: &Lifecycle) -> Self {
        let call = move |inquiries| ask(rooms.clone(), inquiries);
        Self { inquiries: Batcher::start("membership checks", LIMITS, call, lifecycle) }
    }

    /// Answers one question as of now.
    pub(crate) async fn check(&self, room_id: RoomId, user_id: UserId) -> Answer {
        let answers = self.check_all(vec![Question { room_id, user_id }]).await?;
        answers.into_iter().next().unwrap_or(Err(ErrorCode::Internal))
    }

    /// Answers many questions as of now, in their order; `unavailable` when rooms cannot be asked.
    pub(crate) async fn check_all(
        &self,
        questions: Vec<Question>,
    ) -> Result<Vec<Answer>, ErrorCode> {
        self.inquiries.call(questions).await
    }
}

/// Asks all questions in one call, each different one once.
async fn ask(
    mut rooms: RoomsServiceClient<Client>,
    inquiries: Vec<Vec<Question>>,
) -> Result<Vec<Vec<Answer>>, ErrorCode> {
    let mut places: HashMap<Question, usize> = HashMap::new();
    let mut questions = Vec::new();
    for &question in inquiries.iter().flatten() {
        places.entry(question).or_insert_with(|| {
            questions.push(MembershipQuestion {
                room_id: question.room_id.get(),
                user_id: question.user_id.get(),
            });
            questions.len() - 1
        });
    }
    let response = rooms.check_memberships(CheckMembershipsRequest { questions }).await;
    let answers = response.map_err(|status| code_from_status(&status))?.into_inner().answers;
    let of_question = |question: &Question| {
        let answer = answers.get(places[question]).map_or(Err(ErrorCode::Internal), decode);
        admit_canary(question, answer)
    };
    Ok(inquiries.iter().map(|questions| questions.iter().map(of_question).collect()).collect())
}

fn decode(answer: &proto::MembershipAnswer) -> Answer {
    let membership = |is_owner| Ok(Membership { is_owner, room_version: answer.room_version });
    match answer.status() {
        MembershipStatus::Owner => membership(true),
        MembershipStatus::Member => membership(false),
        MembershipStatus::NotMember => Err(ErrorCode::NotAMember),
        MembershipStatus::RoomNotFound => Err(ErrorCode::RoomNotFound),
        MembershipStatus::Unspecified => Err(ErrorCode::Internal),
    }
}

/// The canary belongs to no room. That rooms was asked for its room like for any other, and knows
/// of none, admits it.
fn admit_canary(question: &Question, answer: Answer) -> Answer {
    match answer {
        Err(ErrorCode::RoomNotFound) if *question == Question::CANARY => {
            Ok(Membership { is_owner: false, room_version: 0 })
        }
        answer => answer,
    }
}
