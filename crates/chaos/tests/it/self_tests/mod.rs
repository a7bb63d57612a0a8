//! The self-tests of the checker: for each promise there is a way to break it, and the checker must
//! report exactly that violation.
//!
//! [`histories`] tampers with a recorded history. [`live`] breaks each promise in a running
//! Parlance.

mod histories;
mod interceptor;
mod live;
mod tampering;
mod triggers;
