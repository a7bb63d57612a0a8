//! Conversions between the types of the service and the generated ones.

use parlance_core::{RoomId, UserId};
use parlance_proto::rooms as proto;

use crate::model::{
    Answer, Batch, EndReason, Kind, Member, MembershipEnd, MembershipStatus, Question, Room,
    SkipReason, Skipped,
};

pub(super) fn user_ids(numbers: &[i64]) -> Vec<UserId> {
    numbers.iter().copied().map(UserId::new).collect()
}

pub(super) fn convert_all<T: Into<U>, U>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(T::into).collect()
}

impl From<Room> for proto::Room {
    fn from(room: Room) -> Self {
        let (is_system, name, owner_id) = match room.kind {
            Kind::System => (true, None, None),
            Kind::User { name, owner_id } => (false, Some(name), Some(owner_id.get())),
        };
        Self {
            id: room.id.get(),
            name,
            owner_id,
            is_system,
            members: room.members.iter().copied().map(proto::Member::from).collect(),
            created_at_us: room.created_at.as_micros(),
            updated_at_us: room.updated_at.as_micros(),
        }
    }
}

impl From<Member> for proto::Member {
    fn from(member: Member) -> Self {
        Self { user_id: member.user_id.get(), joined_at_us: member.joined_at.as_micros() }
    }
}

impl From<Skipped> for proto::Skipped {
    fn from(skipped: Skipped) -> Self {
        let reason = match skipped.reason {
            SkipReason::NotAContact => proto::SkipReason::NotAContact,
            SkipReason::AlreadyAMember => proto::SkipReason::AlreadyAMember,
        };
        Self { user_id: skipped.user_id.get(), reason: reason.into() }
    }
}

impl From<proto::MembershipQuestion> for Question {
    fn from(question: proto::MembershipQuestion) -> Self {
        Self { room_id: RoomId::new(question.room_id), user_id: UserId::new(question.user_id) }
    }
}

impl From<Answer> for proto::MembershipAnswer {
    fn from(answer: Answer) -> Self {
        let status = match answer.status {
            MembershipStatus::RoomNotFound => proto::MembershipStatus::RoomNotFound,
            MembershipStatus::NotMember => proto::MembershipStatus::NotMember,
            MembershipStatus::Member => proto::MembershipStatus::Member,
            MembershipStatus::Owner => proto::MembershipStatus::Owner,
        };
        Self { status: status.into(), room_version: answer.room_version.0 }
    }
}

impl From<Batch> for proto::WatchMembershipsResponse {
    fn from(batch: Batch) -> Self {
        Self { ends: convert_all(batch.ends), cursor: batch.cursor.0, reset: batch.reset }
    }
}

impl From<MembershipEnd> for proto::MembershipEnd {
    fn from(end: MembershipEnd) -> Self {
        let reason = match end.reason {
            EndReason::Left => proto::EndReason::Left,
            EndReason::Removed => proto::EndReason::Removed,
            EndReason::RoomDeleted => proto::EndReason::RoomDeleted,
        };
        Self {
            room_id: end.room_id.get(),
            user_id: end.user_id.map(UserId::get),
            reason: reason.into(),
            room_version: end.room_version.0,
        }
    }
}
