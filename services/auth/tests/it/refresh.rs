//! Refresh tokens, used one after the other.

use parlance_core::ErrorCode;
use parlance_proto::auth::Tokens;

use crate::app::{Auth, refresh_token, refusal};

/// Moves the first uses of refresh tokens out of the grace period.
pub(crate) async fn end_grace(auth: &Auth) {
    auth.execute(
        "UPDATE auth.refresh_tokens SET first_used_at = first_used_at - INTERVAL '30 seconds'",
    )
    .await;
}

/// A replica with a user who has logged in.
pub(crate) async fn logged_in() -> (Auth, i64, Tokens) {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let tokens = auth.log_in_to_refresh("anna").await;
    (auth, anna.id, tokens)
}

async fn refresh(auth: &Auth, tokens: &Tokens) -> Tokens {
    auth.refresh(refresh_token(tokens)).await.unwrap()
}

async fn refused(auth: &Auth, tokens: &Tokens) -> bool {
    let result = auth.refresh(refresh_token(tokens)).await;
    result.is_err() && refusal(result) == ErrorCode::SessionRevoked
}

#[tokio::test]
async fn each_use_gives_a_new_pair_of_the_same_session() {
    let (auth, _, first) = logged_in().await;
    let second = refresh(&auth, &first).await;
    let third = refresh(&auth, &second).await;
    for tokens in [&second, &third] {
        assert_eq!((tokens.session_id, tokens.expires_in_s), (first.session_id, 900));
        assert_eq!(tokens.refresh_token.as_ref().unwrap().expires_in_s, 30 * 86_400);
    }
    assert_ne!(refresh_token(&second), refresh_token(&third));
    assert_ne!(second.access_token, third.access_token);
}

#[tokio::test]
async fn a_token_is_used_again_for_thirty_seconds_whatever_came_of_its_successors() {
    let (auth, _, first) = logged_in().await;
    let one_tab = refresh(&auth, &first).await;
    let one_tab = refresh(&auth, &one_tab).await;
    auth.execute(
        "UPDATE auth.refresh_tokens SET first_used_at = first_used_at - INTERVAL '20 seconds'",
    )
    .await;
    let other_tab = refresh(&auth, &first).await;
    end_grace(&auth).await;
    refresh(&auth, &one_tab).await;
    refresh(&auth, &other_tab).await;
}

#[tokio::test]
async fn the_grace_counts_from_the_first_use() {
    let (auth, _, first) = logged_in().await;
    let successor = refresh(&auth, &first).await;
    refresh(&auth, &successor).await;
    auth.execute(
        "UPDATE auth.refresh_tokens SET first_used_at = first_used_at - INTERVAL '20 seconds'",
    )
    .await;
    refresh(&auth, &first).await;
    auth.execute(
        "UPDATE auth.refresh_tokens SET first_used_at = first_used_at - INTERVAL '10 seconds'",
    )
    .await;
    assert!(refused(&auth, &first).await);
}

#[tokio::test]
async fn late_reuse_ends_the_session_if_a_successor_has_been_used() {
    let (auth, user_id, first) = logged_in().await;
    let second = refresh(&auth, &first).await;
    let third = refresh(&auth, &second).await;
    end_grace(&auth).await;
    let mut watch = auth.watch().await;

    assert!(refused(&auth, &first).await);
    watch.wait_for_ended(1).await;
    assert_eq!(watch.ended_sessions(), [first.session_id]);
    assert!(auth.sessions(user_id).await.is_empty());
    for tokens in [&first, &second, &third] {
        assert!(refused(&auth, tokens).await);
    }
}

#[tokio::test]
async fn late_reuse_gives_one_more_pair_each_time_if_no_successor_has_been_used() {
    let (auth, user_id, first) = logged_in().await;
    let lost = refresh(&auth, &first).await;
    end_grace(&auth).await;
    refresh(&auth, &first).await;
    let third = refresh(&auth, &first).await;
    assert_eq!(auth.session_ids(user_id).await, [first.session_id]);

    // The answer was not lost, or its token has been stolen: from now on reuse ends the session.
    refresh(&auth, &third).await;
    refresh(&auth, &lost).await;
    assert!(refused(&auth, &first).await);
    assert!(auth.sessions(user_id).await.is_empty());
}

#[tokio::test]
async fn the_use_of_a_later_token_is_not_that_of_a_successor() {
    let (auth, _, first) = logged_in().await;
    let second = refresh(&auth, &first).await;
    // An answer that is lost, beside a tab that goes on.
    let other_tab = refresh(&auth, &first).await;
    refresh(&auth, &second).await;
    end_grace(&auth).await;
    let third = refresh(&auth, &second).await;
    refresh(&auth, &other_tab).await;
    refresh(&auth, &third).await;
    assert!(refused(&auth, &second).await);
}

#[tokio::test]
async fn of_more_than_32_unused_tokens_the_oldest_goes() {
    let (auth, _, first) = logged_in().await;
    let oldest = refresh(&auth, &first).await;
    let next = refresh(&auth, &first).await;
    for _ in 0..31 {
        refresh(&auth, &first).await;
    }
    let unused = "SELECT count(*) FROM auth.refresh_tokens WHERE first_used_at IS NULL";
    assert_eq!(auth.count(unused).await, 32);
    assert!(refused(&auth, &oldest).await);
    refresh(&auth, &next).await;
}

#[tokio::test]
async fn used_tokens_of_a_session_are_bounded() {
    let (auth, _, first) = logged_in().await;
    auth.execute(
        "INSERT INTO auth.refresh_tokens (hash, session_id, number, expires_at, first_used_at)
        SELECT sha256(number::TEXT::BYTEA), session.id, number, session.expires_at, now()
        FROM auth.sessions AS session, generate_series(2, 5000) AS number;
        UPDATE auth.sessions SET refresh_token_count = 5000",
    )
    .await;
    let next = refresh(&auth, &first).await;
    refresh(&auth, &next).await;
    assert_eq!(auth.count("SELECT count(*) FROM auth.refresh_tokens").await, 4_096);
}

#[tokio::test]
async fn texts_that_are_no_live_token_are_refused() {
    let (auth, user_id, tokens) = logged_in().await;
    let token = refresh_token(&tokens);
    let (shorter, longer) = (&token[1..], format!("{token}="));
    let long = "a".repeat(100_000);
    for text in ["", "x", "\0", "ä", shorter, &longer, &long, &tokens.access_token] {
        assert_eq!(refusal(auth.refresh(text).await), ErrorCode::SessionRevoked, "{text}");
    }
    auth.execute("UPDATE auth.refresh_tokens SET expires_at = now()").await;
    assert!(refused(&auth, &tokens).await);
    assert_eq!(auth.session_ids(user_id).await, [tokens.session_id]);
}

#[tokio::test]
async fn a_session_is_not_refreshed_after_its_end() {
    let (auth, user_id, tokens) = logged_in().await;
    auth.execute("UPDATE auth.sessions SET ends_at = now() + INTERVAL '600 seconds'").await;
    let renewed = refresh(&auth, &tokens).await;
    assert!(renewed.expires_in_s <= 600, "{}", renewed.expires_in_s);
    assert!(renewed.refresh_token.as_ref().unwrap().expires_in_s <= 600);
    auth.execute("UPDATE auth.sessions SET ends_at = now(), expires_at = now()").await;
    assert!(refused(&auth, &renewed).await);
    assert!(auth.sessions(user_id).await.is_empty());
}

#[tokio::test]
async fn an_inactive_user_cannot_refresh() {
    let (auth, _, tokens) = logged_in().await;
    auth.execute("UPDATE auth.users SET is_active = FALSE").await;
    assert!(refused(&auth, &tokens).await);
}

#[tokio::test]
async fn refresh_tokens_are_stored_as_hashes_alone() {
    let (auth, _, tokens) = logged_in().await;
    let mut connection = auth.database().await;
    let hashed: i64 =
        sqlx::query_scalar("SELECT count(*) FROM auth.refresh_tokens WHERE hash = sha256($1)")
            .bind(refresh_token(&tokens).as_bytes())
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(hashed, 1);
    let plain: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM (
            SELECT token::TEXT FROM auth.refresh_tokens AS token
            UNION ALL SELECT session::TEXT FROM auth.sessions AS session
        ) AS rows (text) WHERE position($1 IN text) > 0",
    )
    .bind(refresh_token(&tokens))
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(plain, 0);
}

#[tokio::test]
async fn expired_rows_are_purged() {
    let (auth, _, tokens) = logged_in().await;
    auth.execute("UPDATE auth.refresh_tokens SET expires_at = now() - INTERVAL '1 second'").await;
    auth.log_in_to_refresh("anna").await;
    auth.execute(
        "INSERT INTO auth.ended_access (session_id, expires_at)
        SELECT number, to_timestamp(1800000000) - INTERVAL '11 minutes'
        FROM generate_series(1001, 6000) AS number;
        INSERT INTO auth.sessions (
            user_id, generation, created_at, last_used_at, expires_at, ends_at, tokens_expire_at,
            refresh_token_count
        )
        SELECT user_id, generation, created_at, last_used_at, expired, expired, expired, 0
        FROM
            auth.sessions,
            generate_series(1, 150),
            (SELECT now() - INTERVAL '61 minutes') AS time (expired)",
    )
    .await;
    auth.log_out(1, Some(tokens.session_id)).await;

    // A replica purges when it starts.
    let _other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    for (rows, expected) in [
        ("SELECT count(*) FROM auth.ended_access", 1),
        ("SELECT count(*) FROM auth.sessions", 1),
        ("SELECT count(*) FROM auth.refresh_tokens", 1),
    ] {
        while auth.count(rows).await != expected {
            tokio::task::yield_now().await;
        }
    }
}
