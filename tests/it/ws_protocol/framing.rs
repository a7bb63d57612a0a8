//! Messages of every length encoding, whole and in pieces; masks.

use super::case::{Case, request, request_of, run_all};
use super::wire::{
    BINARY, CLOSE, CONTINUATION, FINAL, MASK, MASKED, PING, TEXT, frame, frame_with_mask, unmasked,
};

const LENGTHS: [usize; 6] = [125, 126, 127, 128, 65_535, 65_536];

#[tokio::test]
async fn messages_of_every_length_are_handled_however_they_arrive() {
    let mut cases = vec![
        Case::new("an empty text").send(frame(TEXT, "")).refused("invalid_json"),
        Case::new("an empty binary message").send(frame(BINARY, "")).refused("invalid_frame"),
    ];
    let text = |length| {
        let case = Case::new(format!("a text of {length} bytes"));
        case.send(frame(TEXT, request_of(length))).answered("r")
    };
    let binary = |length| {
        let case = Case::new(format!("{length} binary bytes"));
        case.send(frame(BINARY, vec![0xfe; length])).refused("invalid_frame")
    };
    for length in LENGTHS {
        cases.push(text(length));
        cases.push(text(length).chopped(997));
        cases.push(binary(length));
        cases.push(binary(length).chopped(997));
        cases.push(text(length).exchange("next"));
    }
    for length in &LENGTHS[..4] {
        cases.push(text(*length).chopped(1));
        cases.push(binary(*length).chopped(1));
    }
    run_all(cases, 40).await;
}

#[tokio::test]
async fn messages_are_told_apart_however_they_arrive() {
    let two = || Case::new("two messages").exchange("one").exchange("other");
    let many =
        (0..50).fold(Case::new("many messages"), |case, index| case.exchange(&index.to_string()));
    let mut cases = vec![two(), many];
    cases.extend([1, 2, 3, 4, 5, 6, 7, 30, 31, 32, 33, 40].map(|chunk| two().chopped(chunk)));
    run_all(cases, 14).await;
}

#[tokio::test]
async fn every_mask_is_removed() {
    let masks = [[0; 4], [0xff; 4], [1, 0, 0, 0], [0, 0, 0, 1], *b"\"{}:", [0x80, 0x7f, 0, 0xff]];
    let cases = masks.map(|mask| {
        let wire = frame_with_mask(FINAL | TEXT, request("masked"), mask);
        Case::new(format!("mask {mask:?}")).send(wire).answered("masked").exchange("next")
    });
    run_all(cases.into(), 6).await;
}

#[tokio::test]
async fn a_frame_without_a_mask_ends_the_connection() {
    let mut cases = Vec::new();
    for (name, opcode) in [
        ("text", TEXT),
        ("binary", BINARY),
        ("close", CLOSE),
        ("ping", PING),
        ("more", CONTINUATION),
    ] {
        for payload in [&b""[..], b"\x03\xe8", &[b'x'; 200]] {
            let case = Case::new(format!("{name} without a mask, {} bytes", payload.len()));
            cases.push(case.send(unmasked(opcode, payload)).closed(1002));
        }
    }
    let case = Case::new("behind a message").exchange("before");
    cases.push(case.send(unmasked(TEXT, b"{}")).closed(1002));
    run_all(cases, 16).await;
}

#[tokio::test]
async fn a_length_that_is_not_encoded_in_the_shortest_way_ends_the_connection() {
    let mut cases = Vec::new();
    for (first, name) in
        [(FINAL | TEXT, "text"), (FINAL | BINARY, "binary"), (FINAL | PING, "ping")]
    {
        for length in [0_u16, 5, 125] {
            let payload = vec![b'x'; usize::from(length)];
            let short = [&[first, MASKED | 126][..], &length.to_be_bytes(), &MASK, &payload];
            let case = Case::new(format!("{name} of {length} bytes in 16 bits"));
            cases.push(case.send(short.concat()).closed(1002));
            let length = u64::from(length);
            let long = [&[first, MASKED | 127][..], &length.to_be_bytes(), &MASK, &payload];
            let case = Case::new(format!("{name} of {length} bytes in 64 bits"));
            cases.push(case.send(long.concat()).closed(1002));
        }
    }
    let negative = [&[FINAL | TEXT, MASKED | 127][..], &[0xff; 8], &MASK].concat();
    cases.push(Case::new("a length with its highest bit").send(negative).closed(1002));
    run_all(cases, 19).await;
}
