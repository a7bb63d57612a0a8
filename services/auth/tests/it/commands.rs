//! The operator's commands, run as processes.

use std::process::Output;

use parlance_core::{Clock, ErrorCode};
use tokio::process::Command;

use crate::app::{Auth, PASSWORD, refresh_token, refusal};

pub(crate) async fn run(database_url: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auth"));
    command.args(arguments).env("DATABASE_URL", database_url).kill_on_drop(true);
    command.output().await.unwrap()
}

pub(crate) fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test]
async fn deactivate_and_activate_take_the_name_in_any_case() {
    let auth = Auth::start().await;
    let anna = auth.register("Anna").await;

    let output = run(&auth.database_url, &["deactivate", "aNNA"]).await;
    assert_eq!(printed(&output), format!("The user Anna (id {}) is inactive.\n", anna.id));
    assert_eq!(auth.access_state().await.inactive_user_ids, [anna.id]);

    printed(&run(&auth.database_url, &["activate", "aNNA"]).await);
    auth.log_in("Anna", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_user_made_active_again_has_no_session() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let tokens = auth.log_in_to_refresh("anna").await;
    let mut watch = auth.watch().await;
    printed(&run(&auth.database_url, &["deactivate", "anna"]).await);
    printed(&run(&auth.database_url, &["activate", "anna"]).await);
    assert!(auth.sessions(anna.id).await.is_empty());
    assert_eq!(refusal(auth.refresh(refresh_token(&tokens)).await), ErrorCode::SessionRevoked);
    // The session, and the tokens that have none.
    watch.wait_for_ended(2).await;
    assert_eq!(watch.ended_sessions(), [tokens.session_id]);
}

#[tokio::test]
async fn end_sessions_ends_all_of_one_user_who_can_log_in_again() {
    let auth = Auth::start().await;
    let (anna, berta) = (auth.register("Anna").await, auth.register("berta").await);
    let tokens = auth.log_in_to_refresh("anna").await;
    auth.log_in("berta", PASSWORD).await.unwrap();
    let output = run(&auth.database_url, &["end-sessions", "aNNA"]).await;
    let expected = format!("All sessions of Anna (id {}) have ended.\n", anna.id);
    assert_eq!(printed(&output), expected);
    assert!(auth.sessions(anna.id).await.is_empty());
    assert_eq!(auth.sessions(berta.id).await.len(), 1);
    assert_eq!(refusal(auth.refresh(refresh_token(&tokens)).await), ErrorCode::SessionRevoked);
    auth.log_in("anna", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn commands_write_an_audit_line() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let commands = [
        (&["end-sessions", "anna"][..], "sessions_ended"),
        (&["deactivate", "anna"], "deactivated"),
        (&["activate", "anna"], "activated"),
        (&["rotate-keys"], "keys_rotated"),
        (&["rotate-keys", "--leaked", "--key-publication-lead", "1"], "leaked_keys_replaced"),
    ];
    for (arguments, event) in commands {
        let output = run(&auth.database_url, arguments).await;
        assert!(output.status.success(), "{output:?}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(&format!(r#""event":"{event}""#)), "{log}");
        assert!(log.contains(r#""target":"audit""#), "{log}");
        let names_user = log.contains(&format!(r#""user.id":{}"#, anna.id));
        assert_eq!(names_user, arguments.contains(&"anna"), "{log}");
    }
}

#[tokio::test]
async fn only_a_change_moves_updated_at() {
    let auth = Auth::start().await;
    auth.register("anna").await;
    let unchanged = "SELECT count(*) FROM auth.users WHERE updated_at = created_at";
    printed(&run(&auth.database_url, &["activate", "anna"]).await);
    assert_eq!(auth.count(unchanged).await, 1);
    printed(&run(&auth.database_url, &["deactivate", "anna"]).await);
    assert_eq!(auth.count(unchanged).await, 0);
}

#[tokio::test]
async fn a_command_for_an_unknown_user_fails_and_names_the_user() {
    let auth = Auth::start().await;
    for command in ["deactivate", "activate", "end-sessions"] {
        for name in ["nobody", "no body"] {
            let output = run(&auth.database_url, &[command, name]).await;
            assert!(!output.status.success());
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains(&format!("no user has the name `{name}`")), "{message}");
        }
    }
}

#[tokio::test]
async fn rotate_keys_adds_a_key() {
    // The command uses the clock of the machine, so the service must use it, too.
    let url = parlance_testkit::fresh_database().await.unwrap();
    let auth = Auth::start_on(&url, Clock::system(), &[]).await;
    let output = run(&auth.database_url, &["rotate-keys"]).await;
    let state = auth.access_state().await;
    assert_eq!(state.keys.len(), 2);
    assert!(state.keys.iter().any(|key| printed(&output).contains(&key.kid)));
}

#[tokio::test]
async fn migrations_are_listed_and_applied_alone() {
    let url = parlance_testkit::fresh_database().await.unwrap();
    let pending = run(&url, &["migrate", "--status"]).await;
    assert!(printed(&pending).lines().count() >= 1);
    assert!(printed(&pending).lines().all(|line| line.contains("pending")));

    printed(&run(&url, &["migrate"]).await);
    let applied = run(&url, &["migrate", "--status"]).await;
    assert!(printed(&applied).lines().all(|line| line.contains("applied")));
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_what_is_allowed() {
    let cases = [
        ("--bcrypt-cost", "3", "from 4 to 31"),
        ("--bcrypt-cost", "32", "from 4 to 31"),
        ("--access-token-ttl", "0.5", "whole number of seconds"),
        ("--hash-threads", "0", "from 1 to 1024"),
        ("--internal-token", "short", "at least 16"),
    ];
    for (flag, value, allowed) in cases {
        let output = run("postgres://localhost/nowhere", &["serve", flag, value]).await;
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.contains(flag) && message.contains(allowed), "{message}");
    }
}
