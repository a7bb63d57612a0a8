//! The error codes of the public API, each with its sentence for a person.

/// Declares the enum, its names and its sentences in one table.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $sentence:literal;)*) => {
        /// Why a request was refused. The mapping to gRPC and HTTP is in `parlance_runtime::error`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name between the parts of Parlance; unique.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The sentence for a person, as the public API promises it.
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$variant => $sentence,)*
                }
            }
        }
    };
}

error_codes! {
    /// A field breaks a rule; the answer lists every such field.
    Validation, "validation_error", "The request is not valid";
    /// The content of a message breaks a rule.
    ContentInvalid, "content_invalid", "Content must be 1 to 16384 bytes, not only white space, without NUL";
    /// Somebody else has this name.
    UsernameTaken, "username_taken", "Username already registered";
    /// Unknown user, wrong password or inactive user: which one is not said.
    InvalidCredentials, "invalid_credentials", "Incorrect username or password";
    /// No token was sent.
    Unauthenticated, "unauthenticated", "Not authenticated";
    /// The token is not one of ours, is expired, or is damaged.
    InvalidToken, "invalid_token", "Could not validate credentials";
    /// The token's user has been deactivated.
    InactiveUser, "inactive_user", "Inactive user";
    /// The token of an open connection has expired.
    TokenExpired, "token_expired", "Token expired";
    /// No user has this name.
    UserNotFound, "user_not_found", "User not found";
    /// Inviting oneself.
    SelfInvitation, "self_invitation", "You cannot invite yourself";
    /// The two are contacts.
    AlreadyContacts, "already_contacts", "You are already contacts";
    /// The invitation was made before.
    AlreadyInvited, "already_invited", "Invitation already sent";
    /// No such invitation, or it is addressed to somebody else.
    InvitationNotFound, "invitation_not_found", "Invitation not found";
    /// No such room.
    RoomNotFound, "room_not_found", "Room not found";
    /// The acting user may not look into this room.
    NotAMember, "not_a_member", "You are not a member of this room";
    /// The membership that the call is about does not exist; shown as `not_a_member`, too.
    MemberNotFound, "member_not_found", "You are not a member of this room";
    /// System rooms are unchangeable.
    SystemRoom, "system_room", "System rooms cannot be changed";
    /// Only the owner of the room may do this.
    NotTheOwner, "not_the_owner", "Only the room owner may do this";
    /// The owner stays a member as long as the room exists.
    OwnerCannotLeave, "owner_cannot_leave", "The owner cannot leave the room; delete it instead";
    /// No such message, or it is in a room of others.
    MessageNotFound, "message_not_found", "Message not found";
    /// Only the sender of the message may do this.
    NotTheSender, "not_the_sender", "Only the sender may do this";
    /// No such path.
    NotFound, "not_found", "Not Found";
    /// The path does not know this method.
    MethodNotAllowed, "method_not_allowed", "Method Not Allowed";
    /// The body is not declared as JSON.
    UnsupportedMediaType, "unsupported_media_type", "The content type must be application/json";
    /// The body or the frame is larger than 64 KiB.
    PayloadTooLarge, "payload_too_large", "The body is larger than 64 KiB";
    /// The body did not arrive in time.
    RequestTimeout, "request_timeout", "The request did not arrive in time";
    /// The request is damaged in a way that no other code names.
    BadRequest, "bad_request", "The request could not be understood";
    /// A web page of another origin tried to open a socket.
    OriginNotAllowed, "origin_not_allowed", "This origin is not allowed";
    /// The path is a WebSocket and the request no upgrade.
    UpgradeRequired, "upgrade_required", "This path speaks WebSocket only";
    /// The frame is no JSON object.
    InvalidJson, "invalid_json", "Invalid JSON";
    /// The frame misses a member or has a wrong one.
    InvalidFrame, "invalid_frame", "Invalid frame";
    /// The frame has a type nobody knows.
    UnknownType, "unknown_type", "Unknown message type";
    /// The caller does this too often.
    RateLimited, "rate_limited", "Too many requests, try again later";
    /// A part is down or overloaded; whether the request was carried out is not known.
    Unavailable, "unavailable", "Temporarily unavailable, try again";
    /// A mistake of ours.
    Internal, "internal_error", "Internal server error";
}

impl ErrorCode {
    /// The name in answers to clients.
    pub const fn public_name(self) -> &'static str {
        match self {
            Self::MemberNotFound => Self::NotAMember.name(),
            other => other.name(),
        }
    }

    /// The code with this [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.sentence())
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::ErrorCode;

    #[test]
    fn every_name_finds_its_code() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_name(code.name()), Some(code));
        }
    }
}
