//! Pings and pongs.

use super::case::{Case, run_all};
use super::wire::{PING, PONG, TEXT, fragment, frame};

#[tokio::test]
async fn every_ping_is_answered_with_its_payload() {
    let mut cases = Vec::new();
    for payload in [&b""[..], b"x", b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", &[0xfe; 124]] {
        let case = || Case::new(format!("{payload:?}")).send(frame(PING, payload)).pong(payload);
        cases.extend([case(), case().chopped(1), case().exchange("then")]);
    }
    let longest = || Case::new("125 bytes").send(frame(PING, [b'*'; 125])).pong([b'*'; 125]);
    cases.extend([longest(), longest().chopped(1)]);
    let many = |count: u8| {
        (0..count).fold(Case::new(format!("{count} pings")), |case, index| {
            case.send(frame(PING, [index])).pong([index])
        })
    };
    cases.extend([many(10), many(10).chopped(1), many(100), many(255)]);
    let between = Case::new("between messages").exchange("before");
    cases.push(between.send(frame(PING, "now")).pong("now").exchange("after"));
    run_all(cases, 22).await;
}

#[tokio::test]
async fn the_answer_to_the_token_comes_before_the_pong_to_an_early_ping() {
    // Each case checks that the answer to the token is the first frame.
    let early = |index| Case::new(format!("{index}")).send(frame(PING, [index])).pong([index]);
    run_all((0..20).map(|index| early(index).early()).collect(), 20).await;
}

#[tokio::test]
async fn a_pong_needs_no_ping_and_has_no_answer() {
    let mut cases = Vec::new();
    for payload in [&b""[..], b"unsolicited", &[0xff; 125]] {
        let case = || Case::new(format!("pong {payload:?}")).send(frame(PONG, payload));
        cases.extend([
            case(),
            case().chopped(1),
            case().exchange("then"),
            case().send(frame(PING, "p")).pong("p"),
        ]);
    }
    run_all(cases, 12).await;
}

#[tokio::test]
async fn a_long_or_fragmented_ping_or_pong_ends_the_connection() {
    let mut cases = Vec::new();
    for (name, opcode) in [("ping", PING), ("pong", PONG)] {
        for length in [126, 127, 65_536] {
            let case = Case::new(format!("{name} of {length} bytes"));
            cases.push(case.send(frame(opcode, vec![b'x'; length])).closed(1002));
        }
        for payload in ["", "part"] {
            let case = || Case::new(format!("fragmented {name} {payload}"));
            cases.push(case().send(fragment(opcode, payload)).closed(1002));
            let inside = case().send(fragment(TEXT, "{")).send(fragment(opcode, payload));
            cases.push(inside.closed(1002));
        }
        let behind = Case::new(format!("{name} behind a message")).exchange("before");
        cases.push(behind.send(frame(opcode, [0; 126])).closed(1002));
    }
    run_all(cases, 16).await;
}
