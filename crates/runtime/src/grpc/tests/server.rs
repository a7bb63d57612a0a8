//! Timeouts of calls.

use super::*;

#[test]
fn timeouts_are_read_with_their_unit() {
    assert_eq!(parse_timeout("1500m"), Some(Duration::from_millis(1500)));
    assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
    for bad in ["", "S", "2", "2x", "999999999S", "-1S", "٣S"] {
        assert_eq!(parse_timeout(bad), None, "{bad:?}");
    }
}
