//! Idempotent methods.

use super::is_idempotent;

#[test]
fn only_methods_that_say_so_are_idempotent() {
    assert!(is_idempotent("/parlance.auth.v1.AuthService/GetUsers"));
    assert!(is_idempotent("/parlance.rooms.v1.RoomsService/EnsureSystemRoom"));
    assert!(!is_idempotent("/parlance.auth.v1.AuthService/Register"));
    assert!(!is_idempotent("/parlance.messaging.v1.MessagingService/EditMessage"));
}
