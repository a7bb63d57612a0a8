//! The error codes of the public API, each with a sentence for a person.

/// Declares the enum, its names and its sentences in one table.
macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident, $name:literal, $sentence:literal;)*) => {
        /// The reason why a request failed. `parlance_runtime::error` maps it to gRPC and HTTP.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The unique name between the programs of Parlance.
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
    /// A field breaks a rule. The response lists every field that does.
    Validation, "validation_error", "The request is not valid";
    /// The content of a message breaks a rule.
    ContentInvalid, "content_invalid", "Content must be 1 to 16384 bytes, \
        not only white space, without NUL";
    /// Another user has this name.
    UsernameTaken, "username_taken", "Username already registered";
    /// The user is unknown or inactive, or the password is wrong. The response does not say which.
    InvalidCredentials, "invalid_credentials", "Incorrect username or password";
    /// The request has no token.
    Unauthenticated, "unauthenticated", "Not authenticated";
    /// The token is foreign, expired or damaged.
    InvalidToken, "invalid_token", "Could not validate credentials";
    /// The user of the token is deactivated.
    InactiveUser, "inactive_user", "Inactive user";
    /// The token of an open connection has expired.
    TokenExpired, "token_expired", "The token has expired";
    /// The session of the token has ended, or the refresh token is not a live one.
    SessionRevoked, "session_revoked", "This session has ended";
    /// The current password is not the one that the request names.
    WrongPassword, "wrong_password", "The current password is wrong";
    /// The caller has no such live session.
    SessionNotFound, "session_not_found", "Session not found";
    /// The deployment does not let users make accounts.
    RegistrationClosed, "registration_closed", "Registration is closed";
    /// No trusted issuer vouches for the identity, or its account is inactive.
    IdentityRefused, "identity_refused", "This identity was not accepted";
    /// No username could be made from the identity. The request must name one.
    UsernameNeeded, "username_needed", "Choose a username";
    /// The code was never issued, has expired, or was used.
    ResetCodeInvalid, "reset_code_invalid", "The reset code is wrong or has expired";
    /// The log-in is too long ago for what the request asks for.
    LogInAgain, "log_in_again", "Log in again first";
    /// No user has this name.
    UserNotFound, "user_not_found", "User not found";
    /// The user invites themselves.
    SelfInvitation, "self_invitation", "You cannot invite yourself";
    /// The two users are contacts.
    AlreadyContacts, "already_contacts", "You are already contacts";
    /// The invitation exists already.
    AlreadyInvited, "already_invited", "Invitation already sent";
    /// The invitation does not exist, has ended, or is none that the user may answer or take back.
    InvitationNotFound, "invitation_not_found", "Invitation not found";
    /// The user has made as many invitations as may be open.
    TooManyInvitations, "too_many_invitations", "Too many invitations are open";
    /// The room does not exist.
    RoomNotFound, "room_not_found", "Room not found";
    /// The user is not a member of the room.
    NotAMember, "not_a_member", "You are not a member of this room";
    /// The user that the request names is not a member. Clients see `not_a_member`, too.
    MemberNotFound, "member_not_found", "You are not a member of this room";
    /// A system room cannot be changed.
    SystemRoom, "system_room", "System rooms cannot be changed";
    /// Only the owner of the room may do this.
    NotTheOwner, "not_the_owner", "Only the room owner may do this";
    /// The owner stays a member as long as the room exists.
    OwnerCannotLeave, "owner_cannot_leave", "The owner cannot leave the room; delete it instead";
    /// The message does not exist, or is in a room that the user is not a member of.
    MessageNotFound, "message_not_found", "Message not found";
    /// Only the sender of the message may do this.
    NotTheSender, "not_the_sender", "Only the sender may do this";
    /// The path does not exist.
    NotFound, "not_found", "Not Found";
    /// The path does not support this method.
    MethodNotAllowed, "method_not_allowed", "Method Not Allowed";
    /// The body is not declared as JSON.
    UnsupportedMediaType, "unsupported_media_type", "The content type must be application/json";
    /// The body or the frame is larger than 64 KiB.
    PayloadTooLarge, "payload_too_large", "The body is larger than 64 KiB";
    /// The head or the body did not arrive in time.
    RequestTimeout, "request_timeout", "The request did not arrive in time";
    /// The target of the request is longer than 16 KiB.
    UriTooLong, "uri_too_long", "The path and the query are too long";
    /// The head of the request is larger than 64 KiB, or has more than 100 fields.
    HeadersTooLarge, "headers_too_large", "The header fields are too large";
    /// The request is malformed in a way that no other code names.
    BadRequest, "bad_request", "The request could not be understood";
    /// A web page of another origin opens a socket.
    OriginNotAllowed, "origin_not_allowed", "This origin is not allowed";
    /// The path is a WebSocket, and the request is no upgrade.
    UpgradeRequired, "upgrade_required", "This path speaks WebSocket only";
    /// The frame is no JSON object.
    InvalidJson, "invalid_json", "Invalid JSON";
    /// The frame lacks a member, or has a wrong one.
    InvalidFrame, "invalid_frame", "Invalid frame";
    /// The frame has an unknown type.
    UnknownType, "unknown_type", "Unknown message type";
    /// The caller sends too many requests.
    RateLimited, "rate_limited", "Too many requests, try again later";
    /// A dependency is down or overloaded. The request may or may not have taken effect.
    Unavailable, "unavailable", "Temporarily unavailable, try again";
    /// A bug of Parlance.
    Internal, "internal_error", "Internal server error";
}

impl ErrorCode {
    /// The name in responses to clients.
    pub const fn public_name(self) -> &'static str {
        match self {
            Self::MemberNotFound => Self::NotAMember.name(),
            other => other.name(),
        }
    }

    /// Returns the code with this [`name`](Self::name).
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
