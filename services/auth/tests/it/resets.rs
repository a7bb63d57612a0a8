//! Resetting the password by a code that an operator has issued.

use parlance_core::ErrorCode;
use parlance_core::ErrorCode::{InvalidCredentials, ResetCodeInvalid};
use parlance_proto::auth::ResetPasswordRequest;
use tokio::task::JoinSet;

use crate::app::{Auth, PASSWORD, refusal};
use crate::commands::{printed, run};

const NEW_PASSWORD: &str = "battery staple";

/// Runs the command. Returns the code that it prints.
async fn issue(auth: &Auth, username: &str) -> String {
    let output = run(&auth.database_url, &["issue-reset", username]).await;
    let log = String::from_utf8(output.stderr.clone()).unwrap();
    let printed = printed(&output);
    let code = printed.lines().nth(1).unwrap().to_owned();
    assert_eq!(printed.matches(&code).count(), 1);
    assert!(log.contains(r#""event":"reset_issued""#) && !log.contains(&code), "{log}");
    code
}

#[tokio::test]
async fn a_code_replaces_the_password_once_and_ends_all_sessions() {
    let auth = Auth::start().await;
    let anna = auth.register("Anna").await.id;
    auth.log_in("anna", PASSWORD).await.unwrap();
    let mut watch = auth.watch().await;
    let code = issue(&auth, "aNNA").await;
    // 256 bits in base64url.
    assert_eq!(code.len(), 43);
    auth.log_in("anna", PASSWORD).await.unwrap();

    auth.reset_password(&code, NEW_PASSWORD).await.unwrap();
    assert!(auth.session_ids(anna).await.is_empty());
    // The sessions, and the tokens that have none.
    watch.wait_for_ended(3).await;
    assert_eq!(watch.ended_sessions().len(), 2);
    assert_eq!(refusal(auth.log_in("anna", PASSWORD).await), InvalidCredentials);
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
    assert_eq!(refusal(auth.reset_password(&code, PASSWORD).await), ResetCodeInvalid);
}

#[tokio::test]
async fn the_code_is_stored_as_a_hash_only() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let code = issue(&auth, "anna").await;
    let hashes =
        format!("SELECT count(*) FROM auth.reset_codes WHERE code_hash = sha256('{code}')");
    assert_eq!(auth.count_of(hashes).await, 1);
    let texts = format!("SELECT count(*) FROM auth.reset_codes AS t WHERE t::TEXT LIKE '%{code}%'");
    assert_eq!(auth.count_of(texts).await, 0);
}

#[tokio::test]
async fn other_codes_are_refused_after_the_rules_for_the_password() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let code = issue(&auth, "anna").await;
    let longer = format!("{code}x");
    for wrong in ["", "wrong", &longer, &code[..42]] {
        assert_eq!(refusal(auth.reset_password(wrong, NEW_PASSWORD).await), ResetCodeInvalid);
        assert_eq!(refusal(auth.reset_password(wrong, "short").await), ErrorCode::Validation);
    }
    // A password that breaks the rules does not use the code up.
    assert_eq!(refusal(auth.reset_password(&code, "short").await), ErrorCode::Validation);
    auth.reset_password(&code, NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_code_is_good_for_an_hour() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let code = issue(&auth, "anna").await;
    let lives = "SELECT count(*) FROM auth.reset_codes
        WHERE expires_at BETWEEN now() + INTERVAL '59 minutes' AND now() + INTERVAL '60 minutes'";
    assert_eq!(auth.count(lives).await, 1);
    auth.execute("UPDATE auth.reset_codes SET expires_at = now()").await;
    assert_eq!(refusal(auth.reset_password(&code, NEW_PASSWORD).await), ResetCodeInvalid);
}

#[tokio::test]
async fn a_newer_code_and_a_change_of_the_password_void_a_code() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await.id;
    let session = auth.log_in("anna", PASSWORD).await.unwrap().session_id;
    let first = issue(&auth, "anna").await;
    let second = issue(&auth, "anna").await;
    assert_eq!(refusal(auth.reset_password(&first, NEW_PASSWORD).await), ResetCodeInvalid);
    auth.change_password(anna, session, Some(PASSWORD), NEW_PASSWORD).await.unwrap();
    assert_eq!(refusal(auth.reset_password(&second, PASSWORD).await), ResetCodeInvalid);
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_reset_ends_the_wait_after_failed_log_ins() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    for _ in 0..5 {
        assert_eq!(refusal(auth.log_in("anna", "wrong password").await), InvalidCredentials);
    }
    let code = issue(&auth, "anna").await;
    auth.reset_password(&code, NEW_PASSWORD).await.unwrap();
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn of_parallel_resets_with_one_code_one_wins() {
    let first = Auth::start().await;
    let second = Auth::start_on(&first.database_url, first.clock.clone(), &[]).await;
    first.register("anna").await;
    let code = issue(&first, "anna").await;
    let mut resets = JoinSet::new();
    for (number, auth) in [&first, &second, &first, &second].into_iter().enumerate() {
        let (mut grpc, new_password) = (auth.grpc(), format!("new password {number}"));
        let request = ResetPasswordRequest {
            code: code.clone(),
            new_password: new_password.clone(),
            client: None,
        };
        resets.spawn(async move { (grpc.reset_password(request).await, new_password) });
    }
    let results = resets.join_all().await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(|(result, _)| result.is_ok());
    assert_eq!(won.len(), 1);
    for (result, _) in lost {
        assert_eq!(refusal(result), ResetCodeInvalid);
    }
    first.log_in("anna", &won[0].1).await.unwrap();
}

#[tokio::test]
async fn an_account_without_a_password_can_get_one_by_a_code() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    auth.execute("UPDATE auth.users SET password_hash = NULL").await;
    let code = issue(&auth, "anna").await;
    auth.reset_password(&code, NEW_PASSWORD).await.unwrap();
    auth.log_in("anna", NEW_PASSWORD).await.unwrap();
}

#[tokio::test]
async fn issuing_a_code_for_an_unknown_user_fails_and_names_the_user() {
    let auth = Auth::start().await;
    for name in ["nobody", "no body", "parlance-probe"] {
        let output = run(&auth.database_url, &["issue-reset", name]).await;
        assert!(!output.status.success());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(&format!("no user has the name `{name}`")), "{message}");
    }
}
