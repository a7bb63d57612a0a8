use super::*;

/// Checks a request with this target and these lines `Host`. Returns its target and its host.
fn checked(target: &'static str, hosts: &[&'static str]) -> Result<(String, String), ErrorCode> {
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_static(target);
    for host in hosts {
        request.headers_mut().append(HOST, HeaderValue::from_static(host));
    }
    check(&mut request)?;
    let host = request.headers()[HOST].to_str().unwrap().to_owned();
    Ok((request.uri().to_string(), host))
}

#[test]
fn a_host_is_a_name_or_an_address_with_an_optional_port() {
    for good in [
        "a",
        "chat.example",
        "chat.example:",
        "chat.example:8000",
        "a_b.example",
        "127.0.0.1:80",
        "[::1]",
        "[2001:db8::1]:443",
        "%41.example",
        "a!$&'()*+;=~",
    ] {
        assert!(checked("/", &[good]).is_ok(), "{good}");
    }
}

#[test]
fn any_other_host_is_refused() {
    for bad in [
        "",
        ":80",
        "a b",
        "a, b",
        "a,b",
        "user@a",
        "user:pass@a",
        "a:b",
        "a:65536",
        "a:80:90",
        "a/b",
        "a?b",
        "a#b",
        "a\\b",
        "[::1",
        "::1",
        "[::1]x",
        "[1.2.3.4]",
        "[a]",
        "%4",
        "%zz",
        "http://a",
        "a<b>",
        "\"a\"",
    ] {
        assert_eq!(checked("/", &[bad]), Err(ErrorCode::BadRequest), "{bad}");
    }
    assert_eq!(checked("/", &[]), Err(ErrorCode::BadRequest));
    assert_eq!(checked("/", &["a", "a"]), Err(ErrorCode::BadRequest));
}

#[test]
fn the_authority_of_the_target_is_the_host() {
    let (target, host) = checked("http://b.example:81/v1/%61?q=%61", &["a"]).unwrap();
    assert_eq!((target.as_str(), host.as_str()), ("/v1/a?q=%61", "b.example:81"));
    assert_eq!(checked("https://b", &["a"]).unwrap(), ("/".to_owned(), "b".to_owned()));
    for bad in ["http://user@b/", "ftp://b/", "b:80"] {
        assert_eq!(checked(bad, &["a"]), Err(ErrorCode::BadRequest), "{bad}");
    }
    assert_eq!(checked("http://b/", &[]), Err(ErrorCode::BadRequest));
}

#[test]
fn escapes_of_unreserved_characters_are_decoded_once_in_the_path_only() {
    for (target, expected) in [
        ("/v1/rooms", "/v1/rooms"),
        ("/v1/%61uth/me", "/v1/auth/me"),
        ("/%41%2D%2e%5f%7E%30", "/A-._~0"),
        ("/a%2fb%3ac", "/a%2Fb%3Ac"),
        ("/%2561", "/%2561"),
        ("/%c3%a4", "/%C3%A4"),
        ("/%61?%61=%2f%zz", "/a?%61=%2f%zz"),
    ] {
        assert_eq!(checked(target, &["a"]).unwrap().0, expected);
    }
}

#[test]
fn a_malformed_escape_is_refused() {
    for bad in ["/%", "/%6", "/%6g", "/%%61", "/a%2", "/% 1"] {
        let Ok(uri) = bad.parse::<Uri>() else { continue };
        assert_eq!(normal_form(&uri), Err(ErrorCode::BadRequest), "{bad}");
    }
}

#[test]
fn a_target_may_have_16_kib() {
    let target = |length: usize| {
        let mut request = Request::new(());
        request.headers_mut().append(HOST, HeaderValue::from_static("a"));
        *request.uri_mut() = format!("/{}", "a".repeat(length - 1)).parse().unwrap();
        check(&mut request)
    };
    assert_eq!(target(MAX_TARGET), Ok(()));
    assert_eq!(target(MAX_TARGET + 1), Err(ErrorCode::UriTooLong));
}
