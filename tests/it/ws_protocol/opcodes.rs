//! Opcodes that mean nothing.

use super::case::{Case, run_all};
use super::wire::{PING, TEXT, fragment, frame};

#[tokio::test]
async fn an_unknown_opcode_ends_the_connection() {
    let mut cases = Vec::new();
    for opcode in (3..=7).chain(11..=15) {
        let case = |name: &str| Case::new(format!("opcode {opcode} {name}"));
        let unknown = || frame(opcode, "unknown");
        cases.extend([
            case("without a payload").send(frame(opcode, "")).closed(1002),
            case("with a payload").send(unknown()).closed(1002),
            case("with a payload").send(unknown()).chopped(1).closed(1002),
            case("fragmented").send(fragment(opcode, "unknown")).closed(1002),
            case("with 300 bytes").send(frame(opcode, [0; 300])).closed(1002),
            case("behind a message").exchange("before").send(unknown()).closed(1002),
            case("before a ping").send(unknown()).send(frame(PING, "not read")).closed(1002),
            case("in a message").send(fragment(TEXT, "{")).send(unknown()).closed(1002),
        ]);
    }
    run_all(cases, 80).await;
}
