//! The loads: what clients do in a scenario.

pub(crate) mod sends;

/// What every message says: 128 bytes.
pub(crate) const CONTENT: &str = "The quick brown fox jumps over the lazy dog while nobody in this room has \
                                  anything better to say than this sentence does by far.";

#[cfg(test)]
mod tests {
    use super::CONTENT;

    #[test]
    fn messages_have_128_bytes() {
        assert_eq!(CONTENT.len(), 128);
    }
}
