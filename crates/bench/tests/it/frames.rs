//! Counting the texts of a stream of WebSocket frames.

use parlance_bench::ws::{Counted, Counter};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;

fn server_frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![FINAL | kind];
    match payload.len() {
        length @ ..126 => frame.push(length as u8),
        length @ ..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

fn stream() -> Vec<u8> {
    let lengths = [0, 1, 125, 126, 200, 65_535, 65_536, 70_000];
    let mut stream: Vec<u8> =
        lengths.into_iter().flat_map(|length| server_frame(TEXT, &vec![b'x'; length])).collect();
    stream.extend(server_frame(PING, b""));
    stream.extend(server_frame(TEXT, b"the last one"));
    stream.extend(server_frame(CLOSE, &4429_u16.to_be_bytes()));
    stream
}

#[test]
fn texts_are_counted_in_pieces_of_any_size() {
    for size in [1, 2, 3, 7, 128, 4_096, 1 << 20] {
        let mut counter = Counter::default();
        let mut sum = Counted::default();
        for piece in stream().chunks(size) {
            let counted = counter.feed(piece).unwrap();
            sum.texts += counted.texts;
            sum.pings += counted.pings;
            sum.has_closed |= counted.has_closed;
        }
        assert_eq!(sum, Counted { texts: 9, pings: 1, has_closed: true }, "in pieces of {size}");
    }
}

#[test]
fn masked_and_oversized_frames_are_errors() {
    let masked = [FINAL | TEXT, MASKED | 1, 0, 0, 0, 0, b'x'];
    let oversized = [FINAL | TEXT, 127, 255, 0, 0, 0, 0, 0, 0, 0];
    assert!(Counter::default().feed(&masked).is_err());
    assert!(Counter::default().feed(&oversized).is_err());
}
