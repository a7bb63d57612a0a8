//! What every program of Parlance shares: ids, error codes, time, and the rules of names, passwords
//! and message contents. No I/O.

mod clock;
mod error_code;
mod id;
mod profile;
mod text;
mod timestamp;
mod username;

pub use clock::Clock;
pub use error_code::ErrorCode;
pub use id::{MessageId, RoomId, SessionId, UserId, UserPair};
pub use profile::{AvatarUrl, DisplayName};
pub use text::{MessageContent, Password, RoomName, Violation, check_length};
pub use timestamp::Timestamp;
pub use username::Username;
