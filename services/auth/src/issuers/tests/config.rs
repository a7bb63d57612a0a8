use std::path::Path;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::{IssuersFile, KeyLocation};

const MINIMAL: &str = r#"
[[issuers]]
name = "host"
issuer = "https://host.example"
audience = "parlance"
jwks_url = "https://host.example/keys"
algorithms = ["RS256"]
"#;

fn parse(text: &str) -> anyhow::Result<IssuersFile> {
    IssuersFile::parse(text, Path::new("/etc/parlance"))
}

#[test]
fn what_is_left_out_has_the_defaults_of_the_contract() {
    let file = parse(MINIMAL).unwrap();
    let issuer = &file.issuers[0];
    assert_eq!((&*issuer.subject_claim, &*issuer.username_claim), ("sub", "preferred_username"));
    assert!(issuer.provision);
    assert_eq!(issuer.session_ttl, Duration::from_secs(86_400));
    assert_eq!(issuer.algorithms, [Algorithm::RS256]);
    assert_eq!(issuer.audiences, ["parlance"]);
}

#[test]
fn a_file_of_keys_is_found_beside_the_file_of_issuers() {
    let text =
        MINIMAL.replace("jwks_url = \"https://host.example/keys\"", "jwks_file = \"k.json\"");
    let file = parse(&text).unwrap();
    assert_eq!(file.issuers[0].keys, KeyLocation::File("/etc/parlance/k.json".into()));
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for url in [
        "https://h.example:8443/k?x=1",
        "http://localhost/k",
        "http://[::1]:80",
        "http://127.9.0.1",
    ] {
        parse(&MINIMAL.replace("https://host.example/keys", url)).unwrap();
    }
    for url in [
        "http://host.example/keys",
        "http://localhost.example",
        "http://10.0.0.1",
        "http://127.0.0.1.example",
        "https://user:secret@host.example",
        "file:///etc/passwd",
        "ftp://localhost",
        "host.example",
    ] {
        let error = parse(&MINIMAL.replace("https://host.example/keys", url)).unwrap_err();
        assert!(format!("{error:#}").contains("jwks_url"), "{url}: {error:#}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_what_is_wrong() {
    let cases = [
        ("[\"RS256\"]", "[\"HS256\"]", "`HS256` is not accepted"),
        ("[\"RS256\"]", "[\"none\"]", "`none` is not accepted"),
        ("[\"RS256\"]", "[]", "`algorithms` must not be empty"),
        ("\"parlance\"", "[]", "`audience` must not be empty"),
        ("\"parlance\"", "\"\"", "`audience` must be 1 to"),
        ("name = \"host\"", "name = \"a b\"", "`name` must be"),
        ("name = \"host\"", "", "missing field `name`"),
        ("issuer = \"https://host.example\"", "issuer = \"\"", "`issuer` must be"),
        ("algorithms", "jwks_file = \"k\"\nalgorithms", "and not both"),
        ("jwks_url = \"https://host.example/keys\"", "", "one of `jwks_url`"),
        ("algorithms", "session_ttl = 0\nalgorithms", "`session_ttl` must be"),
        ("algorithms", "sesion_ttl = 1\nalgorithms", "sesion_ttl"),
        ("[[issuers]]", "[[issuer]]", "issuer"),
        ("[[issuers]]", "[[", "TOML"),
    ];
    for (old, new, expected) in cases {
        let text = MINIMAL.replacen(old, new, 1);
        assert_ne!(text, MINIMAL);
        let error = format!("{:#}", parse(&text).unwrap_err());
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn names_and_issuers_are_there_once() {
    let other = MINIMAL.replace("\"host\"", "\"other\"");
    assert!(format!("{:#}", parse(&format!("{MINIMAL}{MINIMAL}")).unwrap_err()).contains("name"));
    assert!(format!("{:#}", parse(&format!("{MINIMAL}{other}")).unwrap_err()).contains("`issuer`"));
}
