//! The closing handshake.

use super::case::{Case, request, run_all};
use super::wire::{BINARY, CLOSE, PING, TEXT, close, fragment, frame};

const MAY_BE_SENT: [u16; 17] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401,
    4999,
];
const MAY_NOT_BE_SENT: [u16; 16] =
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2998, 2999, 5000, 9999, 32_768, 65_535];

#[tokio::test]
async fn a_close_frame_is_answered_with_its_code() {
    let mut cases = vec![
        Case::new("no code").send(frame(CLOSE, "")).closed_without_code(),
        Case::new("no code").send(frame(CLOSE, "")).chopped(1).closed_without_code(),
        Case::new("the longest reason").send(close(1000, [b'*'; 123])).closed(1000),
        Case::new("a reason with NUL").send(close(1000, "\0")).closed(1000),
    ];
    for code in MAY_BE_SENT {
        let case = |name: &str| Case::new(format!("{code} {name}"));
        cases.extend([
            case("").send(close(code, "")).closed(code),
            case("in bytes").send(close(code, "bye")).chopped(1).closed(code),
            case("with a reason").send(close(code, "Auf Wiederhören")).closed(code),
            case("behind a message").exchange("before").send(close(code, "")).closed(code),
        ]);
    }
    run_all(cases, 70).await;
}

#[tokio::test]
async fn a_close_code_that_may_not_be_sent_is_a_protocol_error() {
    let mut cases = Vec::new();
    for code in MAY_NOT_BE_SENT {
        let case = || Case::new(format!("{code}"));
        cases.push(case().send(close(code, "")).closed(1002));
        cases.push(case().exchange("before").send(close(code, "reason")).closed(1002));
    }
    run_all(cases, 32).await;
}

#[tokio::test]
async fn a_malformed_close_frame_is_a_protocol_error() {
    let cases = vec![
        Case::new("one byte").send(frame(CLOSE, [3])).closed(1002),
        Case::new("one zero").send(frame(CLOSE, [0])).chopped(1).closed(1002),
        Case::new("126 bytes").send(close(1000, [b'*'; 124])).closed(1002),
        Case::new("64 KiB").send(close(1000, vec![b'*'; 65_534])).closed(1002),
        Case::new("fragmented").send(fragment(CLOSE, [3, 0xe8])).closed(1002),
        Case::new("fragmented and empty").send(fragment(CLOSE, "")).closed(1002),
    ];
    run_all(cases, 6).await;
}

#[tokio::test]
async fn nothing_behind_a_close_frame_is_handled() {
    let mut cases = Vec::new();
    for (name, more) in [
        ("a message", frame(TEXT, request("late"))),
        ("a ping", frame(PING, "late")),
        ("another close frame", close(1001, "")),
        ("a frame that breaks the protocol", frame(0xf, "x")),
        ("a large message", frame(BINARY, vec![0; 256 << 10])),
        ("bytes that are no frame", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("half a frame", frame(TEXT, request("late"))[..9].to_vec()),
    ] {
        let case = || Case::new(name);
        let wire = [close(1000, ""), more].concat();
        cases.extend([
            case().send(&wire).closed(1000),
            case().send(&wire).chopped(4_000).closed(1000),
            case().exchange("before").send(&wire).closed(1000),
        ]);
    }
    run_all(cases, 21).await;
}

#[tokio::test]
async fn what_came_before_a_close_frame_is_answered_first() {
    let mut cases = Vec::new();
    for count in [1, 2, 8, 9, 20, 100] {
        let messages = || {
            let case = Case::new(format!("{count} messages"));
            (0..count).fold(case, |case, index| case.exchange(&index.to_string()))
        };
        cases.extend([
            messages().send(close(1001, "")).closed(1001),
            messages().send(frame(CLOSE, "")).closed_without_code(),
            messages().send(frame(PING, "p")).pong("p").send(close(1000, "")).closed(1000),
            messages().send(frame(TEXT, b"\xff")).closed(1007),
            messages().send(frame(0x3, "")).closed(1002),
        ]);
    }
    run_all(cases, 30).await;
}
