//! The promises.

/// A promise that can be broken; a row of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "`Rule::ALL` describes the violation of each")]
pub enum Rule {
    AckLost,
    StoredTwice,
    Gap,
    DeliveredTwice,
    OutOfOrder,
    NotDelivered,
    ConflictingSeq,
    SenderReordered,
    AfterRemoval,
    AfterSessionEnd,
    SystemRooms,
    Unanswered,
    LateRecovery,
    MisbehavingClients,
    ResourceLeak,
}

impl Rule {
    /// All rules, each with what its violation is, in the order of the report.
    pub const ALL: [(Self, &'static str); 15] = [
        (Self::AckLost, "acknowledged messages, edits and deletions missing from history"),
        (Self::StoredTwice, "messages sent once and stored twice"),
        (Self::Gap, "gaps in `seq`"),
        (Self::DeliveredTwice, "events delivered twice to a subscriber"),
        (Self::OutOfOrder, "events delivered out of order to a subscriber"),
        (Self::NotDelivered, "changes not delivered to a subscriber"),
        (Self::ConflictingSeq, "numbers that mean different messages to two observers"),
        (Self::SenderReordered, "messages of one sender stored in another order than sent"),
        (Self::AfterRemoval, "events committed over 1 s after the removal of their subscriber"),
        (Self::AfterSessionEnd, "answers, events and sockets of sessions over 1 s after their end"),
        (Self::SystemRooms, "contacts without exactly one system room"),
        (Self::Unanswered, "messages refused to a member, or unanswered after all faults"),
        (Self::LateRecovery, "faults after which a subscriber was not live again within 5 s"),
        (Self::MisbehavingClients, "answers to misbehaving clients against the contract"),
        (Self::ResourceLeak, "tasks, connections or memory that a process kept"),
    ];
}
