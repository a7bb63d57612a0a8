//! Messages in fragments, and control frames between them.

use super::case::{Case, request, run_all};
use super::wire::{
    BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close, fragment, frame, in_fragments,
};

#[tokio::test]
async fn a_message_may_be_split_everywhere() {
    let text = request("split");
    let mut cases = Vec::new();
    for at in 0..=text.len() {
        let (head, tail) = text.split_at(at);
        let case = Case::new(format!("split at {at}"));
        let case = case.send(fragment(TEXT, head)).send(frame(CONTINUATION, tail));
        cases.push(case.answered("split").exchange("then"));
    }
    for size in 1..=8 {
        let case = || {
            let case = Case::new(format!("fragments of {size} bytes"));
            case.send(in_fragments(TEXT, &text, size)).answered("split")
        };
        cases.extend([case(), case().chopped(1), case().chopped(5)]);
        let binary = Case::new(format!("binary fragments of {size} bytes"));
        cases.push(binary.send(in_fragments(BINARY, &text, size)).refused("invalid_frame"));
    }
    run_all(cases, 50).await;
}

#[tokio::test]
async fn fragments_may_be_empty() {
    let (head, tail) = (r#"{"type":"#, r#""ping","ref":"r"}"#);
    let empty = || fragment(CONTINUATION, "");
    let cases = vec![
        Case::new("first")
            .send(fragment(TEXT, ""))
            .send(fragment(CONTINUATION, head))
            .send(frame(CONTINUATION, tail))
            .answered("r"),
        Case::new("between")
            .send(fragment(TEXT, head))
            .send(empty())
            .send(empty())
            .send(frame(CONTINUATION, tail))
            .answered("r"),
        Case::new("last")
            .send(fragment(TEXT, head))
            .send(fragment(CONTINUATION, tail))
            .send(frame(CONTINUATION, ""))
            .answered("r"),
        Case::new("all of a text")
            .send(fragment(TEXT, ""))
            .send(empty())
            .send(frame(CONTINUATION, ""))
            .refused("invalid_json"),
        Case::new("all of a binary message")
            .send(fragment(BINARY, ""))
            .send(frame(CONTINUATION, ""))
            .refused("invalid_frame"),
        Case::new("a thousand")
            .send(fragment(TEXT, head))
            .send(empty().repeat(1_000))
            .send(frame(CONTINUATION, tail))
            .answered("r"),
    ];
    run_all(cases, 6).await;
}

#[tokio::test]
async fn control_frames_may_come_between_fragments() {
    let (head, tail) = (r#"{"type":"#, r#""ping","ref":"r"}"#);
    let around = |name: &str, between: Vec<u8>| {
        let case = Case::new(name).send(fragment(TEXT, head)).send(between);
        case.send(frame(CONTINUATION, tail)).answered("r")
    };
    let ping = || around("a ping", frame(PING, "between")).pong("between");
    let mut cases = vec![
        ping(),
        ping().chopped(1),
        around("a pong", frame(PONG, "between")),
        around("two pings", [frame(PING, "1"), frame(PING, "2")].concat()).pong("1").pong("2"),
        around("a ping and an empty fragment", {
            [frame(PING, "1"), fragment(CONTINUATION, ""), frame(PING, "2")].concat()
        })
        .pong("1")
        .pong("2"),
        Case::new("a close frame")
            .send(fragment(TEXT, head))
            .send(close(1000, ""))
            .send(frame(CONTINUATION, tail))
            .closed(1000),
        Case::new("a close frame without a code")
            .send(fragment(BINARY, head))
            .send(frame(CLOSE, ""))
            .closed_without_code(),
    ];
    let each = request("each").bytes().enumerate().fold(
        Case::new("a ping behind each byte").answered("each"),
        |case, (index, byte)| {
            let opcode = if index == 0 { TEXT } else { CONTINUATION };
            let index = [index as u8];
            case.send(fragment(opcode, [byte])).send(frame(PING, index)).pong(index)
        },
    );
    cases.push(each.send(frame(CONTINUATION, "")));
    run_all(cases, 8).await;
}

#[tokio::test]
async fn a_continuation_of_nothing_ends_the_connection() {
    let mut cases = Vec::new();
    for (name, wire) in [
        ("final", frame(CONTINUATION, "more")),
        ("not final", fragment(CONTINUATION, "more")),
        ("final and empty", frame(CONTINUATION, "")),
        ("not final and empty", fragment(CONTINUATION, "")),
    ] {
        let case = || Case::new(name);
        let message = in_fragments(TEXT, request("r"), 10);
        cases.extend([
            case().send(&wire).closed(1002),
            case().send(&wire).chopped(1).closed(1002),
            case().send(&wire).send(frame(TEXT, request("not read"))).closed(1002),
            case().exchange("before").send(&wire).closed(1002),
            case().send(message).answered("r").send(&wire).closed(1002),
        ]);
    }
    run_all(cases, 20).await;
}

#[tokio::test]
async fn a_message_inside_another_ends_the_connection() {
    let mut cases = Vec::new();
    for outer in [TEXT, BINARY] {
        for inner in [TEXT, BINARY] {
            let case = |name: &str| {
                Case::new(format!("{inner} in {outer}, {name}")).send(fragment(outer, "{"))
            };
            cases.extend([
                case("whole").send(frame(inner, "{}")).closed(1002),
                case("whole").send(frame(inner, "{}")).chopped(1).closed(1002),
                case("a fragment").send(fragment(inner, "{}")).closed(1002),
                case("empty").send(frame(inner, "")).closed(1002),
                case("behind a continuation")
                    .send(fragment(CONTINUATION, ""))
                    .send(frame(inner, "{}"))
                    .closed(1002),
            ]);
        }
    }
    run_all(cases, 20).await;
}
