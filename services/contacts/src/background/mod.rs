//! Tasks that run as long as the process.

pub(crate) mod delete_expired;
pub(crate) mod make_system_rooms;
