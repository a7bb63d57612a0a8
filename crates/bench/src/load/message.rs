//! The messages of the loads.

/// The content of a message: 128 bytes.
pub const CONTENT: &str = "The quick brown fox jumps over the lazy dog while nobody in this room \
                           has anything better to say than this sentence does by far.";
