use super::*;

fn origin(head: &str) -> Option<String> {
    field(head.as_bytes(), &ORIGIN).map(|value| value.to_str().unwrap().to_owned())
}

#[test]
fn a_field_is_found_in_a_malformed_head() {
    assert_eq!(origin("GET / HTTP/1.1\r\nOrigin: http://a\r\n\r\n").as_deref(), Some("http://a"));
    assert_eq!(origin("GET /\x01\nx y\nORIGIN:http://a \n").as_deref(), Some("http://a"));
}

#[test]
fn half_a_line_the_body_and_other_fields_are_no_field() {
    for head in [
        "",
        "origin: http://a\r\n",
        "GET / HTTP/1.1\r\norigin: http://a",
        "GET / HTTP/1.1\r\n\r\norigin: http://a\r\n",
        "GET / HTTP/1.1\r\nx-origin: http://a\r\n",
        "GET / HTTP/1.1\r\norigin-x: http://a\r\n",
        "GET / HTTP/1.1\r\norigin\r\n",
    ] {
        assert_eq!(origin(head), None, "{head}");
    }
}
