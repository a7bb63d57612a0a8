//! Messages up to 64 KiB, and larger ones.

use super::case::{Case, request_of, run_all};
use super::wire::{
    BINARY, CONTINUATION, FINAL, MASK, MASKED, PING, TEXT, fragment, frame, header, in_fragments,
};

const LARGEST: usize = 64 << 10;
const FRAGMENTS: [usize; 9] = [64, 256, 1_000, 1_024, 1_300, 4_096, 16_384, 32_768, 65_535];

#[tokio::test]
async fn a_message_of_64_kib_is_handled_however_it_arrives() {
    let mut cases = Vec::new();
    for size in FRAGMENTS {
        let text = || {
            let case = Case::new(format!("in fragments of {size} bytes"));
            case.send(in_fragments(TEXT, request_of(LARGEST), size)).answered("r")
        };
        cases.extend([text(), text().chopped(2_048), text().exchange("then")]);
        let binary = Case::new(format!("binary fragments of {size} bytes"));
        let wire = in_fragments(BINARY, vec![0; LARGEST], size);
        cases.push(binary.send(wire).refused("invalid_frame"));
    }
    for chunk in [128, 512, 4_095, 4_096, 4_097, 8_192, 65_000] {
        let whole = Case::new("whole").send(frame(TEXT, request_of(LARGEST)));
        cases.push(whole.answered("r").chopped(chunk));
    }
    let large = Case::new("five of them");
    let wire = frame(TEXT, request_of(LARGEST));
    cases.push((0..5).fold(large, |case, _| case.send(&wire).answered("r")));
    run_all(cases, 44).await;
}

#[tokio::test]
async fn a_larger_message_ends_the_connection() {
    let too_big = |case: Case| case.refused("invalid_frame").closed(1009);
    let mut cases = Vec::new();
    for length in [LARGEST + 1, 128 << 10, 1 << 20, 2 << 20] {
        for opcode in [TEXT, BINARY] {
            let whole = || {
                let case = Case::new(format!("{opcode} of {length} bytes"));
                case.send(frame(opcode, vec![b'x'; length]))
            };
            cases.extend([too_big(whole()), too_big(whole().chopped(32 << 10))]);
            let begun = [header(FINAL | opcode, MASKED, length as u64), MASK.to_vec()].concat();
            let case = Case::new(format!("{opcode}, {length} bytes are announced"));
            cases.push(too_big(case.send(begun)));
        }
    }
    for size in FRAGMENTS {
        let case = || {
            let case = Case::new(format!("in fragments of {size} bytes"));
            case.send(in_fragments(TEXT, vec![b'x'; LARGEST + 1], size))
        };
        cases.extend([too_big(case()), too_big(case().send(frame(PING, "not read")))]);
    }
    let endless = [header(FINAL | TEXT, MASKED, i64::MAX as u64), MASK.to_vec()].concat();
    cases.push(too_big(Case::new("an endless message").send(endless)));
    let behind = Case::new("behind a message").exchange("before");
    cases.push(too_big(behind.send(frame(TEXT, vec![b'x'; LARGEST + 1]))));
    let one_more = Case::new("one byte too many").send(fragment(TEXT, vec![b'x'; LARGEST]));
    cases.push(too_big(one_more.send(frame(CONTINUATION, "x"))));
    run_all(cases, 45).await;
}
