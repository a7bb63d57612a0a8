//! Exchanging the tokens of a trusted issuer: accounts and sessions.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use parlance_core::ErrorCode;
use parlance_proto::auth::{ChangePasswordRequest, ExchangeResponse};

use crate::app::{Auth, PASSWORD, caller, refresh_token, refusal};
use crate::issuers::{IssuersFile, Trusting, identifier};

fn name(response: &ExchangeResponse) -> &str {
    &response.user.as_ref().unwrap().username
}

fn user_id(response: &ExchangeResponse) -> i64 {
    response.user.as_ref().unwrap().id
}

fn session_id(response: &ExchangeResponse) -> i64 {
    response.tokens.as_ref().unwrap().session_id
}

#[tokio::test]
async fn a_new_person_gets_an_account_and_later_only_sessions() {
    let host = Trusting::start("").await;
    let first = host.auth.exchange(&host.token("anna")).await.unwrap();
    assert_eq!(name(&first), "anna");
    let mut claims = host.auth.claims("anna");
    claims["preferred_username"] = "renamed".into();
    let token = host.key.token(&claims);
    let second = host.auth.exchange_as(&token, Some("other"), false).await.unwrap();
    assert_eq!(second.user, first.user);
    assert_ne!(session_id(&second), session_id(&first));
    assert_eq!(host.auth.count("SELECT count(*) FROM auth.users").await, 1);
}

#[tokio::test]
async fn a_person_is_the_issuer_and_the_subject() {
    let host = Trusting::start("").await;
    let both = IssuersFile::new().with("host", &host.issuer, "").with("shop", &host.issuer, "");
    let auth = host.auth.another_trusting(&both, host.auth.clock.clone()).await;
    let of_host = auth.exchange(&host.token("anna")).await.unwrap();
    let mut claims = auth.claims("anna");
    claims["iss"] = identifier("shop").into();
    let of_shop = auth.exchange(&host.key.token(&claims)).await.unwrap();
    assert_ne!(user_id(&of_shop), user_id(&of_host));
    // Nor does a registered user become somebody's by the name.
    assert_eq!((name(&of_host), name(&of_shop)), ("anna", "anna2"));
}

#[tokio::test]
async fn the_name_of_an_account_is_made_to_fit_the_rules() {
    let host = Trusting::start("").await;
    let long = "x".repeat(60);
    let cases = [
        ("Anna.Berg@example.com", "AnnaBergexamplecom"),
        ("  jo-anne  ", "joanne"),
        ("Ame\u{301}lie", "Amélie"),
        ("汪小明 (wang)", ""),
        ("汪小明!", "汪小明"),
        (&long, &long[..50]),
        ("!!", ""),
        ("jo", ""),
        ("", ""),
    ];
    for (number, (claimed, expected)) in cases.into_iter().enumerate() {
        let answer = host.auth.exchange(&host.token_with_name(&number.to_string(), claimed)).await;
        if expected.is_empty() {
            assert_eq!(refusal(answer), ErrorCode::UsernameNeeded, "{claimed:?}");
        } else {
            assert_eq!(name(&answer.unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn a_taken_name_gets_digits() {
    let host = Trusting::start("").await;
    host.auth.register("ANNA").await;
    let long = "y".repeat(50);
    host.auth.register(&long).await;
    for (subject, claimed, expected) in [
        ("1", "anna", "anna2"),
        ("2", "Anna", "Anna3"),
        ("3", &*long, &*format!("{}2", &long[1..])),
    ] {
        let answer = host.auth.exchange(&host.token_with_name(subject, claimed)).await.unwrap();
        assert_eq!(name(&answer), expected);
    }
    let tokens = (10..30).map(|subject| host.token_with_name(&subject.to_string(), "anna"));
    let answers: Vec<String> = tokens.collect();
    let answers = join_all(answers.iter().map(|token| host.auth.exchange(token))).await;
    let names: HashSet<_> = answers.iter().map(|it| name(it.as_ref().unwrap())).collect();
    assert_eq!(names.len(), 20, "{names:?}");
}

#[tokio::test]
async fn a_person_whose_name_cannot_be_made_chooses_one() {
    let host = Trusting::start("").await;
    host.auth.register("taken").await;
    let token = host.token_with_name("1", "?");
    assert_eq!(refusal(host.auth.exchange(&token).await), ErrorCode::UsernameNeeded);
    let choose = async |name| host.auth.exchange_as(&token, Some(name), false).await;
    assert_eq!(refusal(choose("no good").await), ErrorCode::Validation);
    assert_eq!(refusal(choose("TAKEN").await), ErrorCode::UsernameTaken);
    assert_eq!(name(&choose("Chosen").await.unwrap()), "Chosen");
    // A badly formed one is refused before the token is looked at.
    let answer = host.auth.exchange_as("nonsense", Some("no good"), false).await;
    assert_eq!(refusal(answer), ErrorCode::Validation);
}

#[tokio::test]
async fn first_exchanges_at_the_same_moment_make_one_account() {
    let host = Trusting::start("").await;
    let other = host.auth.another_trusting(&host.file, host.auth.clock.clone()).await;
    let (made, chosen) = (host.token("anna"), host.token("berta"));
    // The keys are known everywhere, so that all begin at the same moment.
    let warm_up = host.token("carla");
    join_all([&host.auth, &other].map(|auth| auth.exchange(&warm_up))).await;
    let calls = (0..20).map(|number| {
        let auth = if number % 2 == 0 { &host.auth } else { &other };
        let made = auth.exchange(&made);
        let chosen = auth.exchange_as(&chosen, Some("chosen"), false);
        async { tokio::join!(made, chosen) }
    });
    let (made, chosen): (HashSet<_>, HashSet<_>) = join_all(calls)
        .await
        .iter()
        .map(|(made, chosen)| (user_id(made.as_ref().unwrap()), user_id(chosen.as_ref().unwrap())))
        .unzip();
    assert_eq!((made.len(), chosen.len()), (1, 1));
    assert_eq!(host.auth.count("SELECT count(*) FROM auth.users").await, 3);
}

#[tokio::test]
async fn without_provisioning_only_known_persons_come_in() {
    let host = Trusting::start("provision = false").await;
    let answer = host.auth.exchange(&host.token("anna")).await;
    assert_eq!(refusal(answer), ErrorCode::RegistrationClosed);
    let anna = host.auth.register("anna").await;
    let add = format!(
        "INSERT INTO auth.identities (issuer, subject, user_id, created_at)
        VALUES ('{}', 'anna', {}, now())",
        identifier("host"),
        anna.id
    );
    host.auth.run(add).await;
    assert_eq!(user_id(&host.auth.exchange(&host.token("anna")).await.unwrap()), anna.id);
}

#[tokio::test]
async fn a_closed_registration_does_not_concern_exchanges() {
    let host = Trusting::start_with("", &["--registration", "closed"]).await;
    let answer = host.auth.try_register("anna", PASSWORD).await;
    assert_eq!(refusal(answer), ErrorCode::RegistrationClosed);
    host.auth.exchange(&host.token("anna")).await.unwrap();
}

#[tokio::test]
async fn an_inactive_account_is_refused_like_a_wrong_token() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    host.auth.execute("UPDATE auth.users SET is_active = FALSE").await;
    let inactive = host.auth.exchange(&host.token("anna")).await.unwrap_err();
    let wrong = host.auth.exchange("nonsense").await.unwrap_err();
    assert_eq!(inactive.message(), "This identity was not accepted");
    assert_eq!((inactive.code(), inactive.message()), (wrong.code(), wrong.message()));
    host.auth.execute("UPDATE auth.users SET is_active = TRUE").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_the_ttl_of_its_issuer() {
    let host = Trusting::start("session_ttl = 3600").await;
    let answer = host.auth.exchange(&host.token("anna")).await.unwrap();
    let tokens = answer.tokens.as_ref().unwrap();
    assert_eq!(tokens.expires_in_s, 3600);
    assert!(tokens.refresh_token.is_none());
    let renewable = host.auth.exchange_as(&host.token("anna"), None, true).await.unwrap();
    let tokens = renewable.tokens.as_ref().unwrap();
    assert_eq!(
        (tokens.expires_in_s, tokens.refresh_token.as_ref().unwrap().expires_in_s),
        (900, 3600)
    );
    // However often it is refreshed: its end stands.
    let session = async || host.auth.sessions(user_id(&answer)).await.remove(0);
    let before = session().await;
    let refreshed = host.auth.refresh(refresh_token(tokens)).await.unwrap();
    assert!(refreshed.refresh_token.unwrap().expires_in_s <= 3600);
    assert_eq!(session().await.expires_at_us, before.expires_at_us);
    let lifetime = before.expires_at_us - before.created_at_us;
    assert_eq!(Duration::from_micros(lifetime.unsigned_abs()), Duration::from_secs(3600));
}

#[tokio::test]
async fn by_default_a_session_ends_after_a_day() {
    let host = Trusting::start("").await;
    let answer = host.auth.exchange(&host.token("anna")).await.unwrap();
    assert_eq!(answer.tokens.unwrap().expires_in_s, 24 * 3600);
}

#[tokio::test]
async fn the_first_password_can_be_set_for_five_minutes() {
    let host = Trusting::start("").await;
    let anna = host.auth.exchange(&host.token("anna")).await.unwrap();
    assert_eq!(refusal(host.auth.log_in("anna", PASSWORD).await), ErrorCode::InvalidCredentials);
    let set = async |answer: &ExchangeResponse| {
        let request = ChangePasswordRequest {
            caller: Some(caller(user_id(answer), Some(session_id(answer)))),
            current_password: None,
            new_password: PASSWORD.into(),
            client: None,
        };
        host.auth.grpc().change_password(request).await
    };
    host.auth.execute("UPDATE auth.sessions SET created_at = now() - INTERVAL '301 s'").await;
    assert_eq!(refusal(set(&anna).await), ErrorCode::LogInAgain);
    let again = host.auth.exchange(&host.token("anna")).await.unwrap();
    set(&again).await.unwrap();
    host.auth.log_in("anna", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn without_issuers_no_identity_is_accepted() {
    let host = Trusting::start("").await;
    let auth = Auth::start().await;
    assert_eq!(refusal(auth.exchange(&host.token("anna")).await), ErrorCode::IdentityRefused);
}

#[tokio::test]
async fn an_exchange_does_not_forgive_guesses_at_the_password() {
    let host = Trusting::start("").await;
    host.auth.exchange(&host.token("anna")).await.unwrap();
    host.auth.log_in("anna", "a wrong guess").await.unwrap_err();
    host.auth.exchange(&host.token("anna")).await.unwrap();
    let failures = "SELECT sum(failures) FROM auth.log_in_failures WHERE network = ''";
    assert_eq!(host.auth.count(failures).await, 1);
}
