//! Look-ups while auth is unreachable.

use parlance_core::{ErrorCode, Timestamp};
use parlance_runtime::config::{CredentialConfig, GrpcTlsConfig};
use parlance_runtime::grpc::{ClientConfig, Credential};

use super::*;

fn user(id: i64) -> User {
    let at = Timestamp::from_micros(0);
    User::new(UserId::new(id), "ann".to_owned(), true, at, at)
}

/// An empty cache whose auth service has this address.
async fn users(auth: &str) -> UserCache {
    let (lifecycle, _) = Lifecycle::new(Duration::from_secs(1));
    let credential = CredentialConfig {
        internal_token: "0123456789abcdef".into(),
        tls: GrpcTlsConfig::default(),
    };
    let config = ClientConfig {
        service: "auth",
        addresses: auth.to_owned(),
        credential: Credential::start(&credential, &lifecycle).unwrap(),
        deadline: Duration::from_secs(2),
    };
    let client = Client::start(config, &lifecycle).unwrap();
    // Until it knows an address, a client fails at once.
    client.replicas().wait_for(|replicas| !replicas.is_empty()).await.unwrap();
    let auth = AuthServiceClient::new(client);
    let inactive_users = watch::Sender::<Arc<HashSet<UserId>>>::default().subscribe();
    UserCache {
        auth,
        cache: Arc::new(new_cache()),
        inactive_users,
        last_failure: Arc::default(),
        background: Arc::new(Semaphore::new(MAX_IN_BACKGROUND)),
        forgotten: Arc::new(Forgotten::new()),
    }
}

fn insert_stale(users: &UserCache, user: User) {
    let cached_at = Instant::now().checked_sub(FRESH_FOR * 2).unwrap();
    users.cache.insert(user.id, CachedUser { user: Arc::new(user), cached_at });
}

#[tokio::test]
async fn a_cached_user_is_served_while_auth_is_away() {
    let users = users("127.0.0.1:1").await;
    insert_stale(&users, user(1));
    let found = users.by_ids([UserId::new(1)]).await.unwrap();
    assert_eq!(*found[&UserId::new(1)], user(1));
}

#[tokio::test]
async fn an_auth_that_hangs_delays_only_the_first_refresh() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let users = users(&silent.local_addr().unwrap().to_string()).await;
    insert_stale(&users, user(1));

    let started = Instant::now();
    for _ in 0..10 {
        assert!(users.by_ids([UserId::new(1)]).await.is_ok());
    }
    assert!(
        started.elapsed() >= REFRESH_TIMEOUT && started.elapsed() < REFRESH_TIMEOUT * 2,
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn a_user_that_is_not_cached_is_unavailable_while_auth_is_away() {
    let users = users("127.0.0.1:1").await;
    users.insert(user(1), &users.forgotten.snapshot());
    let error = users.by_ids([UserId::new(1), UserId::new(2)]).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::Unavailable);
}

#[tokio::test]
async fn names_that_break_the_rules_are_not_looked_up() {
    let users = users("127.0.0.1:1").await;
    assert!(users.find(&["a b".to_owned(), "x\0y".to_owned()]).await.unwrap().is_empty());
    assert!(users.find_one("ann").await.is_err());
}

#[tokio::test]
async fn a_user_whose_activity_changes_is_evicted() {
    let users = users("127.0.0.1:1").await;
    users.insert(user(1), &users.forgotten.snapshot());
    users.insert(user(2), &users.forgotten.snapshot());
    let (inactive, receiver) = watch::channel(Arc::default());
    let eviction = users.clone().evict_changed(receiver);
    let changing = async {
        inactive.send_replace(Arc::new(HashSet::from([UserId::new(1)])));
        drop(inactive);
    };
    let (outcome, ()) = tokio::join!(eviction, changing);
    assert!(outcome.is_err(), "eviction ends only with its source");
    assert!(users.cached(UserId::new(1)).is_none() && users.cached(UserId::new(2)).is_some());
}

#[tokio::test]
async fn a_user_whose_profile_changes_is_forgotten_and_a_look_up_before_is_not_cached() {
    let users = users("127.0.0.1:1").await;
    let before = users.forgotten.snapshot();
    users.insert(user(1), &users.forgotten.snapshot());
    users.insert(user(2), &users.forgotten.snapshot());
    let (changes, receiver) = broadcast::channel(4);
    changes.send(Some(UserId::new(1))).unwrap();
    drop(changes);
    assert!(users.clone().forget_changed(receiver).await.is_err());
    assert!(users.cached(UserId::new(1)).is_none() && users.cached(UserId::new(2)).is_some());
    users.insert(user(1), &before);
    assert!(users.cached(UserId::new(1)).is_none(), "auth may have read it before the change");
    users.insert(user(3), &before);
    assert!(users.cached(UserId::new(3)).is_some(), "the change of another user does not matter");
    users.insert(user(1), &users.forgotten.snapshot());
    assert!(users.cached(UserId::new(1)).is_some());
}

#[tokio::test]
async fn all_users_are_forgotten_if_any_profile_may_have_changed() {
    let users = users("127.0.0.1:1").await;
    users.insert(user(1), &users.forgotten.snapshot());
    let (changes, receiver) = broadcast::channel(4);
    let before = users.forgotten.snapshot();
    changes.send(None).unwrap();
    drop(changes);
    assert!(users.clone().forget_changed(receiver).await.is_err());
    assert!(users.cached(UserId::new(1)).is_none());
    users.insert(user(1), &before);
    assert!(users.cached(UserId::new(1)).is_none(), "auth may have read it before the change");
}

#[tokio::test]
async fn all_users_are_forgotten_if_changes_were_missed() {
    let users = users("127.0.0.1:1").await;
    users.insert(user(1), &users.forgotten.snapshot());
    let (changes, receiver) = broadcast::channel(2);
    for id in 2..=4 {
        changes.send(Some(UserId::new(id))).unwrap();
    }
    drop(changes);
    assert!(users.clone().forget_changed(receiver).await.is_err());
    assert!(users.cached(UserId::new(1)).is_none(), "the one that was missed may be this");
}
