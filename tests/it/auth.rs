//! Accounts: registering, logging in, names and passwords.

use parlance_client::endpoints;
use serde_json::{Value, json};

use crate::support::{
    Answer, Api, PASSWORD, assert_members, assert_user, fresh_name, person, stack,
};

async fn register(username: &str, password: &str) -> Answer {
    let api = Api::at(stack().await, 0);
    api.post("/v1/auth/register", &json!({"username": username, "password": password})).await
}

/// Logs in at the second gateway.
async fn log_in(username: &str, password: &str) -> Answer {
    let api = Api::at(stack().await, 1);
    api.post("/v1/auth/login", &json!({"username": username, "password": password})).await
}

/// Registers a user, which must succeed. Returns the user.
async fn registered(username: &str) -> Value {
    register(username, PASSWORD).await.ok(201)
}

/// Digits that make a username of any script unique.
fn digits() -> String {
    fresh_name().bytes().map(|byte| char::from(b'0' + byte % 10)).collect()
}

#[tokio::test]
async fn registering_returns_the_user() {
    let name = fresh_name();
    let user = registered(&name).await;
    assert_user(&user);
    assert_eq!(user["username"], name);
    assert_eq!(user["is_active"], true);
    assert_eq!(user["created_at"], user["updated_at"]);
}

#[tokio::test]
async fn a_name_can_be_taken_once() {
    let name = fresh_name();
    registered(&name).await;
    register(&name, "another password").await.refused(400, "username_taken");
    log_in(&name, PASSWORD).await.ok(200);
}

#[tokio::test]
async fn an_invalid_name_is_reported_before_a_taken_one() {
    let name = fresh_name();
    registered(&name).await;
    register(&name, "short").await.invalid(&["body.password string_too_short"]);
}

#[tokio::test]
async fn all_invalid_fields_are_reported_at_once() {
    register("ab", "short")
        .await
        .invalid(&["body.username string_too_short", "body.password string_too_short"]);
    register("a b c", &"x".repeat(73))
        .await
        .invalid(&["body.username value_error", "body.password string_too_long"]);
}

#[tokio::test]
async fn logging_in_returns_a_bearer_token_for_eight_days() {
    let name = fresh_name();
    registered(&name).await;
    let token = log_in(&name, PASSWORD).await.ok(200);
    assert_members(&token, &["access_token", "token_type", "expires_in", "session_id"]);
    assert_eq!(token["token_type"], "bearer");
    assert_eq!(token["expires_in"], 8 * 24 * 3600);
}

#[tokio::test]
async fn me_is_the_user_as_registered() {
    let stack = stack().await;
    let name = fresh_name();
    let user = registered(&name).await;
    let token = log_in(&name, PASSWORD).await.ok(200);
    for gateway in [0, 1] {
        let request = endpoints::me(token["access_token"].as_str().unwrap());
        let me = Api::at(stack, gateway).send(request).await.ok(200);
        assert_eq!(me, user);
    }
}

#[tokio::test]
async fn me_needs_a_token() {
    Api::at(stack().await, 0).get("/v1/auth/me").await.refused(401, "unauthenticated");
}

#[tokio::test]
async fn failed_logins_have_identical_answers() {
    let name = fresh_name();
    registered(&name).await;
    let wrong = log_in(&name, "wrong password").await;
    for (name, password) in [
        (fresh_name().as_str(), PASSWORD),
        ("not a name!", PASSWORD),
        ("", ""),
        ("a\0b", PASSWORD),
        (&name, ""),
        (&name, &"x".repeat(1000)),
        (&name, "secure\0pass"),
    ] {
        let answer = log_in(name, password).await;
        assert_eq!((answer.status, &answer.text), (wrong.status, &wrong.text), "{name:?}");
        answer.refused(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn names_are_letters_and_digits_of_any_one_script() {
    for base in ["Jürgen", "Ивана", "日本語かな", "한국어", "عمر", "Ωμέγα", "नमन", "ABC", "अक"]
    {
        let name = format!("{base}{}", digits());
        assert_eq!(registered(&name).await["username"], name);
    }
    let arabic_digits = digits().replace(|c: char| c.is_ascii_digit() && c > '4', "٣");
    registered(&format!("abc{arabic_digits}")).await;
}

#[tokio::test]
async fn anything_but_letters_and_digits_is_refused() {
    for bad in [
        "a b c",
        "abc ",
        " abc",
        "a_b_c",
        "a-b-c",
        "a.b@c",
        "abc\0",
        "abc\n",
        "abc😀",
        "a\u{200b}bc",
        "abc²",
        "abcⅧ",
        "a'; DROP TABLE users; --",
        "<b>abc</b>",
        "\u{202e}abc",
        "कि\u{93f}ताब",
        "한국어\u{115f}",
        "\u{1160}한국어",
        "\u{3164}\u{3164}\u{3164}",
        "\u{ffa0}\u{ffa0}\u{ffa0}",
    ] {
        let answer = register(bad, PASSWORD).await;
        let sentence = answer.json()["detail"][0]["msg"].as_str().unwrap_or_default().to_owned();
        assert!(
            sentence.contains("Username must contain only alphanumeric characters"),
            "{answer:?}"
        );
        answer.invalid(&["body.username value_error"]);
    }
}

#[tokio::test]
async fn a_combining_mark_is_refused_and_not_composed() {
    register("Ju\u{308}rgen", PASSWORD).await.invalid(&["body.username value_error"]);
    register("e\u{301}tienne", PASSWORD).await.invalid(&["body.username value_error"]);
}

#[tokio::test]
async fn scripts_are_not_mixed_in_a_name() {
    for bad in ["p\u{430}ypal", "Αlice", "日本語abc", "мirror7", "abcअ"] {
        register(bad, PASSWORD).await.invalid(&["body.username value_error"]);
    }
}

#[tokio::test]
async fn the_length_of_a_name_is_counted_in_characters() {
    register("äö", PASSWORD).await.invalid(&["body.username string_too_short"]);
    register("", PASSWORD).await.invalid(&["body.username string_too_short"]);
    let fifty = format!("{}{}", fresh_name(), "ä".repeat(34));
    register(&format!("{fifty}ä"), PASSWORD).await.invalid(&["body.username string_too_long"]);
    registered(&fifty).await;
    registered("äöü").await;
}

#[tokio::test]
async fn a_name_is_taken_in_every_case_and_width() {
    for (first, second) in [
        ("Straße", "STRASSE"),
        ("strasse", "straẞe"),
        ("ａｂｃ", "ABC"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("ﬁnch", "FINCH"),
        ("Ивана", "иВАНА"),
    ] {
        let digits = digits();
        registered(&format!("{first}{digits}")).await;
        register(&format!("{second}{digits}"), PASSWORD).await.refused(400, "username_taken");
    }
}

#[tokio::test]
async fn a_name_is_kept_as_registered_and_found_in_any_case() {
    let name = format!("AnnaStraße{}", digits());
    let user = registered(&name).await;
    assert_eq!(user["username"], name);
    for spelling in [name.to_lowercase(), name.to_uppercase(), name.replace('A', "Ａ")] {
        log_in(&spelling, PASSWORD).await.ok(200);
        let asked = format!("/v1/contacts/check/{spelling}");
        person(stack().await).await.get(&asked).await.ok(200);
    }
}

#[tokio::test]
async fn a_password_has_at_least_eight_characters() {
    register(&fresh_name(), "1234567").await.invalid(&["body.password string_too_short"]);
    register(&fresh_name(), "").await.invalid(&["body.password string_too_short"]);
    register(&fresh_name(), "äöüäöüä").await.invalid(&["body.password string_too_short"]);
    register(&fresh_name(), "äöüäöüäö").await.ok(201);
}

#[tokio::test]
async fn a_password_over_72_bytes_is_refused_and_never_cut() {
    let (name, longest) = (fresh_name(), "ä".repeat(36));
    register(&name, &format!("{longest}a")).await.invalid(&["body.password string_too_long"]);
    register(&name, &longest).await.ok(201);
    log_in(&name, &longest).await.ok(200);
    log_in(&name, &format!("{longest}a")).await.refused(401, "invalid_credentials");
    log_in(&name, &"ä".repeat(35)).await.refused(401, "invalid_credentials");
}

#[tokio::test]
async fn a_password_is_used_exactly_as_sent() {
    let (name, password) = (fresh_name(), " \tPässwörd 😀\u{301} ");
    register(&name, password).await.ok(201);
    log_in(&name, password).await.ok(200);
    for other in [password.trim(), &password.to_lowercase(), " \tPa\u{308}sswörd 😀\u{301} "] {
        log_in(&name, other).await.refused(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn a_password_with_nul_is_refused() {
    register(&fresh_name(), "secret\0secret").await.invalid(&["body.password value_error"]);
}
