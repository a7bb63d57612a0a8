use super::*;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Returns a request with these lines besides the necessary ones that they do not replace.
fn request(lines: &[(&str, &str)]) -> Request {
    let mut request = Request::new(Body::empty());
    let necessary = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    let is_replaced = |name: &str| lines.iter().any(|(other, _)| *other == name);
    let necessary = necessary.iter().filter(|(name, _)| !is_replaced(name));
    for (name, value) in necessary.chain(lines).filter(|(_, value)| *value != "none") {
        let (name, value) = (HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        request.headers_mut().append(name, value);
    }
    request
}

#[test]
fn the_answer_names_no_extension_and_no_sub_protocol() {
    let offers = [
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
        ("sec-websocket-protocol", "chat, superchat"),
    ];
    let response = accept(&request(&offers)).unwrap();
    assert_eq!(response.status(), 101);
    // From the example in section 1.3 of RFC 6455.
    assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers().len(), 3, "{response:?}");
}

#[test]
fn connection_and_upgrade_are_lists() {
    for lines in [
        [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")],
        [("connection", "UPGRADE,keep-alive"), ("upgrade", "WebSocket")],
        [("connection", "keep-alive\t ,\tupgrade"), ("upgrade", "h2c , websocket")],
        [("connection", ",, upgrade ,"), ("upgrade", ", websocket,")],
    ] {
        assert!(accept(&request(&lines)).is_ok(), "{lines:?}");
    }
    let several_lines = [
        ("connection", "keep-alive"),
        ("connection", "upgrade"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket"),
    ];
    assert!(accept(&request(&several_lines)).is_ok());
}

#[test]
fn what_is_no_upgrade_to_version_13_is_told_to_upgrade() {
    for line in [
        ("connection", "none"),
        ("connection", "keep-alive"),
        ("connection", "upgrade-insecure"),
        ("connection", "keep-alive upgrade"),
        ("upgrade", "none"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket/13"),
        ("sec-websocket-version", "none"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-version", "13, 8"),
        ("sec-websocket-version", "013"),
    ] {
        assert_eq!(accept(&request(&[line])).err(), Some(ErrorCode::UpgradeRequired), "{line:?}");
    }
    let mut old = request(&[]);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(accept(&old).err(), Some(ErrorCode::UpgradeRequired));
    let mut head = request(&[]);
    *head.method_mut() = Method::HEAD;
    assert_eq!(accept(&head).err(), Some(ErrorCode::UpgradeRequired));
}

#[test]
fn a_key_that_is_not_16_bytes_in_base64_is_a_bad_request() {
    for key in [
        "none",
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZSE=",
        "dGhlIHNhbXBsZSBub25jZSEhISE=",
        "dGhlIHNhbXBsZSBub25j*Q==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
    ] {
        let result = accept(&request(&[("sec-websocket-key", key)]));
        assert_eq!(result.err(), Some(ErrorCode::BadRequest), "{key}");
    }
    let two = [("sec-websocket-key", KEY), ("sec-websocket-key", KEY)];
    assert_eq!(accept(&request(&two)).err(), Some(ErrorCode::BadRequest));
    let unused_bits = [("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZX==")];
    assert!(accept(&request(&unused_bits)).is_ok());
}
