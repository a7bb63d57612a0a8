//! Tokens, codes and passwords appear in no log.

use parlance_client::endpoints;
use parlance_devstack::Stack;
use serde_json::json;

use super::{log_in, log_in_with};
use crate::support::{
    Api, PASSWORD, Socket, assert_not_logged, auth_command, log_everything, on_own_stack, person,
};

const WRONG_PASSWORD: &str = "wrongpassword77";
const NEW_PASSWORD: &str = "changedpassword88";
const RESET_PASSWORD: &str = "resetpassword99";

#[tokio::test]
async fn no_log_has_a_token_a_code_or_a_password() {
    on_own_stack(log_everything(Stack::builder()), async |stack| {
        let secrets = use_every_call(stack).await;
        let audited = assert_not_logged(stack, &secrets);
        assert!(audited > 5, "the calls have been logged: {audited}");
    })
    .await;
}

/// Makes every call of sessions and passwords, some with mistakes. Returns the secrets.
async fn use_every_call(stack: &Stack) -> Vec<(&'static str, String)> {
    let anna = person(stack).await;
    let first = log_in(&anna).await;
    let second = first.refreshed().await;
    let api = Api::at(stack, 0);
    api.send(endpoints::login(&anna.name, WRONG_PASSWORD))
        .await
        .refused(401, "invalid_credentials");
    api.send(endpoints::refresh("unknown-refresh-token")).await.refused(401, "session_revoked");
    let mut socket = Socket::open(api.gateway, None).await;
    socket.send(&json!({"type": "auth", "token": second.token})).await;
    socket.next().await;
    first.send(endpoints::sessions(&first.token)).await.ok(200);
    let wrong = endpoints::change_password(&first.token, WRONG_PASSWORD, NEW_PASSWORD);
    first.send(wrong).await.refused(400, "wrong_password");
    first.send(endpoints::change_password(&first.token, PASSWORD, NEW_PASSWORD)).await.ok(204);
    let third = log_in_with(&api, &anna.name, NEW_PASSWORD).await;
    third.send(endpoints::end_session(&third.token, first.id)).await.ok(204);
    third.send(endpoints::end_other_sessions(&third.token)).await.ok(204);
    let output = auth_command(stack, &["issue-reset", &anna.name], &[]).await;
    let code = output.split_whitespace().max_by_key(|word| word.len()).unwrap().to_owned();
    api.send(endpoints::reset_password("unknown-reset-code", RESET_PASSWORD))
        .await
        .refused(400, "reset_code_invalid");
    api.send(endpoints::reset_password(&code, RESET_PASSWORD)).await.ok(204);
    let last = log_in_with(&api, &anna.name, RESET_PASSWORD).await;
    last.send(endpoints::logout(&last.token)).await.ok(204);
    let mut secrets = vec![
        ("a code", code),
        ("an unknown code", "unknown-reset-code".to_owned()),
        ("an unknown refresh token", "unknown-refresh-token".to_owned()),
        ("the token of the registration", anna.token.clone()),
    ];
    for session in [first, second, third, last] {
        let signature = session.token.rsplit('.').next().unwrap().to_owned();
        secrets.push(("an access token", signature));
        secrets.push(("a refresh token", session.refresh_token));
    }
    let passwords = [PASSWORD, WRONG_PASSWORD, NEW_PASSWORD, RESET_PASSWORD];
    secrets.extend(passwords.map(|password| ("a password", password.to_owned())));
    secrets
}
