use super::*;

#[test]
fn frames_have_unmasked_headers_and_their_texts() {
    for (length, header) in [
        (0, &[0x81, 0][..]),
        (125, &[0x81, 125]),
        (126, &[0x81, 126, 0, 126]),
        (65_535, &[0x81, 126, 255, 255]),
        (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
    ] {
        let text = "x".repeat(length);
        let frame = Frames::from_text(&text);
        assert_eq!(&frame.wire[..header.len()], header);
        let two = Frames { wire: [&frame.wire[..], &frame.wire[..]].concat().into() };
        assert_eq!(two.texts().collect::<Vec<_>>(), [&text, &text]);
    }
}
