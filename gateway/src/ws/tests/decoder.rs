use super::*;

const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const MAX: usize = 64 << 10;

/// Returns a header that announces a length in its shortest form.
fn header(first: u8, length: u64) -> Vec<u8> {
    let mut wire = vec![first];
    match length {
        0..=125 => wire.push(0x80 | length as u8),
        126..=0xffff => {
            wire.push(0x80 | 126);
            wire.extend((length as u16).to_be_bytes());
        }
        _ => {
            wire.push(0x80 | 127);
            wire.extend(length.to_be_bytes());
        }
    }
    wire.extend(MASK);
    wire
}

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut wire = header(first, payload.len() as u64);
    wire.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    wire
}

/// Decodes what has arrived.
fn decode_all(decoder: &mut Decoder, arrived: &[u8]) -> Result<Vec<Message>, CloseCode> {
    decoder.space().extend_from_slice(arrived);
    std::iter::from_fn(|| decoder.decode().transpose()).collect()
}

fn decode(wire: &[u8]) -> Result<Vec<Message>, CloseCode> {
    decode_all(&mut Decoder::default(), wire)
}

#[test]
fn messages_are_the_same_however_their_bytes_arrive() {
    let text = "Grüße, 世界 \u{1F600}";
    let wire = [
        frame(TEXT, &text.as_bytes()[..3]),
        frame(FINAL | PING, b"between"),
        frame(0, &text.as_bytes()[3..11]),
        frame(0, b""),
        frame(FINAL, &text.as_bytes()[11..]),
        frame(FINAL | BINARY, &[0xff; 300]),
        frame(FINAL | TEXT, b""),
        frame(FINAL | 0xa, b"pong"),
        frame(FINAL | CLOSE, &[0x03, 0xe8, b'b', b'y', b'e']),
    ]
    .concat();
    let expected = [
        Message::Ping(Bytes::from_static(b"between")),
        Message::Text(text.to_owned()),
        Message::Binary,
        Message::Text(String::new()),
        Message::Pong,
        Message::Close(CloseCode(1000)),
    ];
    for size in [1, 2, 3, 5, 7, 64, wire.len()] {
        let mut decoder = Decoder::default();
        let chunks = wire.chunks(size).map(|chunk| decode_all(&mut decoder, chunk).unwrap());
        assert_eq!(chunks.flatten().collect::<Vec<_>>(), expected, "{size}");
        assert_eq!(decoder.unfinished_bytes(), 0);
        assert_eq!(decoder.input.capacity(), 0, "an idle connection keeps no memory");
    }
}

#[test]
fn what_was_read_behind_the_request_is_decoded_first() {
    let wire = frame(FINAL | TEXT, b"early");
    let mut decoder = Decoder::new(&wire[..4]);
    assert_eq!(decode_all(&mut decoder, &wire[4..]), Ok(vec![Message::Text("early".to_owned())]));
}

#[test]
fn what_breaks_the_protocol_is_found_in_the_header() {
    for (what, wire) in [
        ("a reserved bit", header(FINAL | 0x40 | TEXT, 1)),
        ("another reserved bit", header(FINAL | 0x20 | PING, 1)),
        ("the last reserved bit", header(FINAL | 0x10 | TEXT, MAX as u64 + 1)),
        ("an unknown data frame", header(FINAL | 0x3, 1)),
        ("an unknown control frame", header(FINAL | 0xb, 1)),
        ("no mask", vec![FINAL | TEXT, 1]),
        ("no mask and no payload", vec![FINAL | PING, 0]),
        ("a fragmented ping", header(PING, 1)),
        ("a long ping", header(FINAL | PING, 126)),
        ("a fragmented close", header(CLOSE, 2)),
        ("a continuation of nothing", header(FINAL, 1)),
        ("a message in a message", [frame(TEXT, b"x"), header(FINAL | TEXT, 1)].concat()),
        ("a 16 bit length for 125", [&[FINAL | TEXT, 0x80 | 126, 0, 125][..], &MASK].concat()),
        ("a negative length", header(FINAL | TEXT, u64::MAX)),
        ("a close of one byte", frame(FINAL | CLOSE, &[3])),
    ] {
        assert_eq!(decode(&wire), Err(CloseCode::PROTOCOL_ERROR), "{what}");
    }
}

#[test]
fn a_close_code_must_be_one_that_may_be_sent() {
    for code in 0..=u16::MAX {
        let decoded = decode(&frame(FINAL | CLOSE, &code.to_be_bytes()));
        let is_refused = matches!(code, 0..=999 | 1004..=1006 | 1015..=2999 | 5000..);
        let close = Ok(vec![Message::Close(CloseCode(code))]);
        let expected = if is_refused { Err(CloseCode::PROTOCOL_ERROR) } else { close };
        assert_eq!(decoded, expected, "{code}");
    }
    let no_code = decode(&frame(FINAL | CLOSE, b""));
    assert_eq!(no_code, Ok(vec![Message::Close(CloseCode::NO_STATUS)]));
    let no_text = decode(&frame(FINAL | CLOSE, &[0x03, 0xe8, 0xff]));
    assert_eq!(no_text, Err(CloseCode::NOT_UTF8));
}

#[test]
fn a_text_that_is_no_utf8_is_found_before_it_ends() {
    for payload in [&b"abc\xff"[..], b"\xc0", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe4\xb8x"] {
        let whole = decode(&frame(FINAL | TEXT, payload));
        assert_eq!(whole, Err(CloseCode::NOT_UTF8), "{payload:?}");
        let fragment = decode(&frame(TEXT, payload));
        assert_eq!(fragment, Err(CloseCode::NOT_UTF8), "{payload:?}");
        let mut padded = frame(FINAL | TEXT, &[payload, &[b' '; 100]].concat());
        padded.truncate(padded.len() - 1);
        assert_eq!(decode(&padded), Err(CloseCode::NOT_UTF8), "{payload:?}");
    }
    let unfinished_character = "ä".as_bytes();
    assert_eq!(decode(&frame(TEXT, &unfinished_character[..1])), Ok(vec![]));
    let ended = decode(&frame(FINAL | TEXT, &unfinished_character[..1]));
    assert_eq!(ended, Err(CloseCode::NOT_UTF8));
    assert_eq!(decode(&frame(FINAL | BINARY, &[0xff])), Ok(vec![Message::Binary]));
}

#[test]
fn a_message_of_64_kib_is_decoded_and_a_larger_one_is_refused_by_its_header() {
    let largest = "x".repeat(MAX);
    for fragment in [MAX, 1_000, 1] {
        let mut wire: Vec<u8> = Vec::new();
        for (index, part) in largest.as_bytes().chunks(fragment).enumerate() {
            wire.extend(frame(if index == 0 { TEXT } else { 0 }, part));
        }
        let mut decoder = Decoder::default();
        assert_eq!(decode_all(&mut decoder, &wire), Ok(vec![]), "{fragment}");
        assert_eq!(decoder.unfinished_bytes(), MAX);
        let too_much = decode_all(&mut decoder, &header(FINAL, 1));
        assert_eq!(too_much, Err(CloseCode::TOO_BIG));
        assert_eq!(decoder.unfinished_bytes(), 0);

        let whole = decode(&[wire, frame(FINAL, b"")].concat());
        assert_eq!(whole, Ok(vec![Message::Text(largest.clone())]));
    }
    for length in [MAX as u64 + 1, 2 << 20, i64::MAX as u64] {
        assert_eq!(decode(&header(FINAL | TEXT, length)), Err(CloseCode::TOO_BIG), "{length}");
        assert_eq!(decode(&header(FINAL | BINARY, length)), Err(CloseCode::TOO_BIG), "{length}");
    }
}

#[test]
fn only_what_has_arrived_takes_memory() {
    let mut decoder = Decoder::default();
    let wire = frame(FINAL | TEXT, &[b'x'; MAX]);
    assert_eq!(decode_all(&mut decoder, &wire[..14]), Ok(vec![]));
    assert_eq!(decoder.unfinished_bytes(), 0);
    for arrived in (14..wire.len()).step_by(1_000) {
        let before = decoder.unfinished_bytes();
        let chunk = &wire[arrived..(arrived + 1_000).min(wire.len() - 1)];
        assert_eq!(decode_all(&mut decoder, chunk), Ok(vec![]));
        let taken = decoder.unfinished_bytes();
        assert!(taken <= MAX && taken <= before.max(2 * (arrived + 1_000)), "{arrived} {taken}");
    }
    let binary = frame(FINAL | BINARY, &[0xff; MAX]);
    let mut decoder = Decoder::default();
    assert_eq!(decode_all(&mut decoder, &binary[..MAX]), Ok(vec![]));
    assert_eq!(decoder.unfinished_bytes(), 0, "the content of binary messages is not kept");
}
