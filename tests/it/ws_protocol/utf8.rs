//! Texts that are UTF-8, and texts that are not.

use super::case::{Case, request, run_all};
use super::wire::{BINARY, CONTINUATION, TEXT, close, fragment, frame, in_fragments};

/// Characters at the ends of the ranges of each length, and texts of many scripts.
const VALID: [&str; 18] = [
    "Hello-µ@ßöäüàá-UTF-8!!",
    "κόσμε",
    "世界",
    "\u{7f}",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{fdd0}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{10000}",
    "\u{1ffff}",
    "\u{10fffe}",
    "\u{10ffff}",
    "\u{1F600}\u{200d}\u{1F469}",
];

/// What is no UTF-8, whatever follows.
const INVALID: [&[u8]; 32] = [
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80",
    b"\xc0 ",
    b"\xc1\x81",
    b"\xc2 ",
    b"\xdf\"",
    b"\xe0 ",
    b"\xef\xbf ",
    b"\xf0\x9f ",
    b"\xf0\x9f\x98 ",
    b"\xf4 ",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    // Longer than need be.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    // Surrogates.
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    // Beyond the last character.
    b"\xf4\x90\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    // Text that begins well.
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80",
];

/// Beginnings of characters that end too soon.
const UNFINISHED: [&[u8]; 7] =
    [b"\xc3", b"\xe4", b"\xe4\xb8", b"\xf0", b"\xf0\x9f", b"\xf0\x9f\x98", b"\xce\xba\xe1\xbd"];

#[tokio::test]
async fn every_character_passes_however_it_is_split() {
    let mut cases = Vec::new();
    for text in VALID {
        let case = |name: &str| Case::new(format!("{text:?} {name}"));
        cases.extend([
            case("whole").exchange(text),
            case("in bytes").send(frame(TEXT, request(text))).chopped(1).answered(text),
            case("in fragments").send(in_fragments(TEXT, request(text), 1)).answered(text),
            case("as a reason").send(close(1000, text)).closed(1000),
        ]);
    }
    run_all(cases, 70).await;
}

#[tokio::test]
async fn a_text_that_is_no_utf8_ends_the_connection() {
    let mut cases = Vec::new();
    for bytes in INVALID.into_iter().chain(UNFINISHED) {
        let case = |name: &str| Case::new(format!("{bytes:02x?} {name}"));
        let quoted = [b"{\"ref\":\"", bytes, b"\"}"].concat();
        cases.extend([
            case("whole").send(frame(TEXT, bytes)).closed(1007),
            case("in bytes").send(frame(TEXT, bytes)).chopped(1).closed(1007),
            case("in JSON").send(frame(TEXT, &quoted)).closed(1007),
            case("in fragments").send(in_fragments(TEXT, &quoted, 1)).closed(1007),
            case("behind a message").exchange("before").send(frame(TEXT, bytes)).closed(1007),
            case("as a reason").send(close(1000, bytes)).closed(1007),
            case("as binary").send(frame(BINARY, bytes)).refused("invalid_frame"),
        ]);
    }
    run_all(cases, 270).await;
}

#[tokio::test]
async fn a_text_that_cannot_become_utf8_is_not_read_to_its_end() {
    let mut cases = Vec::new();
    for bytes in INVALID {
        let begun = fragment(TEXT, [b"{", bytes].concat());
        cases.push(Case::new(format!("{bytes:02x?} in a fragment")).send(begun).closed(1007));
    }
    let split = Case::new("between fragments").send(fragment(TEXT, b"\xf4"));
    cases.push(split.send(fragment(CONTINUATION, b"\x90")).closed(1007));
    let whole = frame(TEXT, [&b"{\xff"[..], &[b' '; 100]].concat());
    cases.push(Case::new("in half a frame").send(&whole[..60]).closed(1007));
    run_all(cases, 34).await;
}
