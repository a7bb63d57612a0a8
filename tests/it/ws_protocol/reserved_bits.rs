//! The bits that are reserved for extensions, of which none is agreed.

use super::case::{Case, request, run_all};
use super::wire::{BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, TEXT, fragment, frame_with};

#[tokio::test]
async fn a_reserved_bit_ends_the_connection() {
    let mut cases = Vec::new();
    for bits in 1..=7_u8 {
        let first = FINAL | bits << 4;
        let case = |name: &str| Case::new(format!("bits {bits} {name}"));
        let text = frame_with(first | TEXT, request("reserved"));
        cases.extend([
            case("text").send(&text).closed(1002),
            case("text").send(&text).chopped(1).closed(1002),
            case("empty text").send(frame_with(first | TEXT, "")).closed(1002),
            case("fragment").send(frame_with(bits << 4 | TEXT, "{")).closed(1002),
            case("binary").send(frame_with(first | BINARY, "x")).closed(1002),
            case("ping").send(frame_with(first | PING, "x")).closed(1002),
            case("pong").send(frame_with(first | PONG, "")).closed(1002),
            case("close").send(frame_with(first | CLOSE, [3, 0xe8])).closed(1002),
            case("behind a message").exchange("before").send(&text).closed(1002),
            case("in a message")
                .send(fragment(TEXT, "{"))
                .send(frame_with(first | CONTINUATION, "}"))
                .closed(1002),
        ]);
    }
    run_all(cases, 70).await;
}
