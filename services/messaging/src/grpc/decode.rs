//! From the generated types to those of the service.

use parlance_core::{RoomId, UserId};
use parlance_proto::messaging::history_question::From as HistoryFrom;
use parlance_proto::messaging::{HistoryQuestion, Send, Subscribe, Typing};

use crate::clients::memberships::Check;
use crate::model::{Draft, PageFrom, PageRequest, TypingUser};

pub(super) fn draft(send: Send) -> Draft {
    Draft {
        room_id: RoomId::new(send.room_id),
        sender_id: UserId::new(send.sender_id),
        sender_name: send.sender_name,
        key: send.idempotency_key,
        content: send.content,
    }
}

pub(super) fn subscriber(subscribe: &Subscribe) -> Check {
    Check { room_id: RoomId::new(subscribe.room_id), user_id: UserId::new(subscribe.user_id) }
}

pub(super) fn typing(typing: Typing) -> (Check, TypingUser) {
    let (room_id, user_id) = (RoomId::new(typing.room_id), UserId::new(typing.user_id));
    let user = TypingUser { user_id, username: typing.username, origin: typing.origin };
    (Check { room_id, user_id }, user)
}

pub(super) fn page_request(question: HistoryQuestion) -> PageRequest {
    let from = match question.from {
        None => PageFrom::Newest,
        Some(HistoryFrom::BeforeId(id)) => PageFrom::Before(id),
        Some(HistoryFrom::AfterId(id)) => PageFrom::After(id),
    };
    PageRequest {
        user_id: UserId::new(question.acting_user_id),
        room_id: RoomId::new(question.room_id),
        limit: question.limit,
        from,
        known_last_seq: question.known_last_seq,
    }
}
