//! Profiles: their rules, and what caches of users are told of changes.

use parlance_core::ErrorCode;
use parlance_proto::auth::{
    FindUsersRequest, GetUsersRequest, TextChange, UpdateProfileRequest, User,
};
use sqlx::Connection;
use tonic::Status;

use crate::app::{Auth, Watch, refusal};

/// The most changed users of one message.
const MAX_CHANGES: usize = 1_000;

fn set(text: &str) -> Option<TextChange> {
    Some(TextChange { text: Some(text.to_owned()) })
}

const CLEAR: Option<TextChange> = Some(TextChange { text: None });

async fn update(
    auth: &Auth,
    user_id: i64,
    display_name: Option<TextChange>,
    avatar_url: Option<TextChange>,
) -> Result<User, Status> {
    let request = UpdateProfileRequest { user_id, display_name, avatar_url };
    Ok(auth.grpc().update_profile(request).await?.into_inner().user.unwrap())
}

async fn rename(auth: &Auth, user_id: i64, name: &str) -> User {
    update(auth, user_id, set(name), None).await.unwrap()
}

/// Opens a stream and reads its first message.
async fn watch(auth: &Auth) -> Watch {
    let mut watch = auth.watch().await;
    let first = watch.any_message().await.unwrap();
    assert!(first.are_profiles_reset, "a reader forgets what it knew before the stream");
    watch
}

/// Waits for changes. `None` is a reset.
async fn changed(watch: &mut Watch) -> Option<Vec<i64>> {
    loop {
        let message = watch.any_message().await.unwrap();
        if message.are_profiles_reset {
            assert!(message.changed_user_ids.is_empty());
            return None;
        }
        if !message.changed_user_ids.is_empty() {
            return Some(message.changed_user_ids);
        }
    }
}

#[tokio::test]
async fn a_change_sets_clears_or_keeps_each_text() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    assert_eq!((&anna.display_name, &anna.avatar_url), (&None, &None));
    assert_eq!(update(&auth, anna.id, None, None).await.unwrap(), anna);

    let url = "https://example.org/a.png";
    let both = update(&auth, anna.id, set(" Anna "), set(url)).await.unwrap();
    let texts = (both.display_name.as_deref(), both.avatar_url.as_deref());
    assert_eq!(texts, (Some(" Anna "), Some(url)));
    let one = update(&auth, anna.id, CLEAR, None).await.unwrap();
    assert_eq!((one.display_name.as_deref(), one.avatar_url.as_deref()), (None, Some(url)));

    let by_id = auth.grpc().get_users(GetUsersRequest { user_ids: vec![anna.id] }).await.unwrap();
    assert_eq!(by_id.into_inner().users, std::slice::from_ref(&one));
    let by_name = FindUsersRequest { usernames: vec!["ANNA".to_owned()] };
    let by_name = auth.grpc().find_users(by_name).await.unwrap().into_inner();
    assert_eq!(by_name.found[0].user.as_ref(), Some(&one));
}

#[tokio::test]
async fn a_change_moves_the_time_of_the_last_change_and_no_change_does_not() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    auth.clock.advance(std::time::Duration::from_secs(1));
    let renamed = rename(&auth, anna.id, "Anna").await;
    assert_eq!(renamed.updated_at_us, anna.updated_at_us + 1_000_000);
    auth.clock.advance(std::time::Duration::from_secs(1));
    assert_eq!(rename(&auth, anna.id, "Anna").await, renamed);
    assert_eq!(auth.count("SELECT count(*) FROM auth.users WHERE profile_number = 1").await, 1);
}

#[tokio::test]
async fn texts_that_break_the_rules_and_unknown_users_are_refused() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let invisible = update(&auth, anna.id, set("\u{2800}"), None).await;
    assert_eq!(refusal(invisible), ErrorCode::Validation);
    let without_host = update(&auth, anna.id, set("Anna"), set("https:///x")).await;
    assert_eq!(refusal(without_host), ErrorCode::Validation);
    assert_eq!(update(&auth, anna.id, None, None).await.unwrap(), anna, "nothing is stored");
    let unknown = update(&auth, anna.id + 1, set("Ben"), None).await;
    assert_eq!(refusal(unknown), ErrorCode::SessionRevoked);
}

#[tokio::test]
async fn a_change_reaches_the_watchers_of_every_replica() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    let (anna, ben) = (auth.register("anna").await, auth.register("ben").await);
    let mut watches = [watch(&auth).await, watch(&other).await];
    for user in [&anna, &ben, &anna] {
        rename(&auth, user.id, &format!("{} again", user.id)).await;
        for watch in &mut watches {
            assert_eq!(changed(watch).await, Some(vec![user.id]));
        }
        update(&other, user.id, CLEAR, CLEAR).await.unwrap();
        for watch in &mut watches {
            assert_eq!(changed(watch).await, Some(vec![user.id]));
        }
        // The same once more is no change: the next message is about the next user.
        update(&other, user.id, CLEAR, CLEAR).await.unwrap();
    }
}

/// A change that commits late has the higher number, although it began first.
#[tokio::test]
async fn a_change_is_told_although_a_later_one_commits_first() {
    let auth = Auth::start().await;
    let (anna, ben) = (auth.register("anna").await, auth.register("ben").await);
    let mut watch = watch(&auth).await;
    let mut connection = auth.database().await;
    let mut transaction = connection.begin().await.unwrap();
    sqlx::query("UPDATE auth.users SET display_name = 'Anna' WHERE username = 'anna'")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let (renamed, ()) = tokio::join!(rename(&auth, ben.id, "Ben"), async {
        auth.wait_for_blocked_statement().await;
        transaction.commit().await.unwrap();
    });
    assert_eq!(renamed.display_name.as_deref(), Some("Ben"));
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(changed(&mut watch).await.unwrap());
    }
    assert_eq!(found, [anna.id, ben.id], "in the order of the commits");
}

/// Changes the profiles of the first users, in one statement.
async fn change_many(auth: &Auth, count: usize) {
    auth.run(format!(
        "UPDATE auth.users SET display_name = coalesce(display_name, '') || 'x'
        WHERE id <= (SELECT min(id) FROM auth.users) + {count} - 1"
    ))
    .await;
}

#[tokio::test]
async fn more_changes_at_once_than_fit_in_a_message_are_a_reset() {
    let auth = Auth::start().await;
    let other = Auth::start_on(&auth.database_url, auth.clock.clone(), &[]).await;
    auth.execute(
        "INSERT INTO auth.users (username, folded_username, created_at, updated_at)
        SELECT name, name, now(), now()
        FROM (SELECT 'user' || number AS name FROM generate_series(1, 1100) AS number) AS names",
    )
    .await;
    let mut watches = [watch(&auth).await, watch(&other).await];
    change_many(&auth, MAX_CHANGES).await;
    for watch in &mut watches {
        assert_eq!(changed(watch).await.unwrap().len(), MAX_CHANGES);
    }
    change_many(&auth, MAX_CHANGES + 1).await;
    for watch in &mut watches {
        assert_eq!(changed(watch).await, None);
    }
    let first = auth.count("SELECT min(id) FROM auth.users").await;
    rename(&auth, first, "Anna").await;
    for watch in &mut watches {
        assert_eq!(changed(watch).await, Some(vec![first]), "later changes are told one by one");
    }
}

/// A standby lacks the last change when it is promoted; then all sequences are raised.
#[tokio::test]
async fn changes_after_a_failover_that_lost_one_are_told() {
    let auth = Auth::start().await;
    let (anna, ben) = (auth.register("anna").await, auth.register("ben").await);
    let mut watch = watch(&auth).await;
    for user in [&anna, &ben] {
        rename(&auth, user.id, &user.username).await;
        assert_eq!(changed(&mut watch).await, Some(vec![user.id]));
    }
    auth.execute(
        "BEGIN;
        SET LOCAL session_replication_role = replica;
        UPDATE auth.users SET display_name = NULL, profile_number = 0 WHERE username = 'ben';
        UPDATE auth.access_revision SET profile_revision = 1;
        SELECT setval('auth.profile_numbers', 1 + 1000000000);
        COMMIT",
    )
    .await;
    rename(&auth, anna.id, "Anna again").await;
    assert_eq!(changed(&mut watch).await, Some(vec![anna.id]));
    rename(&auth, ben.id, "Ben again").await;
    assert_eq!(changed(&mut watch).await, Some(vec![ben.id]));
}

#[tokio::test]
async fn a_change_of_a_profile_renews_neither_keys_nor_inactive_users() {
    let auth = Auth::start().await;
    let anna = auth.register("anna").await;
    let mut watch = watch(&auth).await;
    rename(&auth, anna.id, "Anna").await;
    loop {
        let message = watch.any_message().await.unwrap();
        assert_eq!((message.state, message.ended.len()), (None, 0));
        if !message.changed_user_ids.is_empty() {
            break;
        }
    }
}

#[tokio::test]
async fn changes_of_different_users_at_the_same_time_get_different_numbers() {
    let auth = Auth::start().await;
    let mut users = Vec::new();
    for number in 0..8 {
        users.push(auth.register(&format!("user{number}")).await.id);
    }
    let changes = users.iter().map(|&user_id| rename(&auth, user_id, "Anna"));
    futures_util::future::join_all(changes).await;
    assert_eq!(auth.count("SELECT count(DISTINCT profile_number) FROM auth.users").await, 8);
    let is_last = "SELECT count(*) FROM auth.access_revision
        WHERE profile_revision = (SELECT max(profile_number) FROM auth.users)";
    assert_eq!(auth.count(is_last).await, 1);
}
