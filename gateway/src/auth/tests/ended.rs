//! What has ended, how it is forgotten, and how its number is limited.

use parlance_proto::auth::UserTokens;

use super::*;
use crate::auth::identity::Token;

const NOW_S: i64 = 1_000;

fn session(id: i64, expires_at_s: i64) -> EndedAccess {
    EndedAccess { tokens: Some(Tokens::SessionId(id)), expires_at_s }
}

fn token(id: &str, expires_at_s: i64) -> EndedAccess {
    EndedAccess { tokens: Some(Tokens::TokenId(id.to_owned())), expires_at_s }
}

fn user_tokens(issued_until_s: i64, expires_at_s: i64) -> EndedAccess {
    let tokens = UserTokens { user_id: 7, issued_until_s };
    EndedAccess { tokens: Some(Tokens::UserTokens(tokens)), expires_at_s }
}

fn ended(entries: impl IntoIterator<Item = EndedAccess>) -> Ended {
    let mut ended = Ended::default();
    ended.add(entries.into_iter().collect());
    ended
}

/// A token of user 7.
fn identity(session_id: Option<i64>, id: &str, issued_at_s: i64) -> Identity {
    let session_id = session_id.map(SessionId::new);
    let token = Token { session_id, id: id.into(), issued_at_s, ..Token::internal() };
    Identity { user_id: UserId::new(7), username: "ann".to_owned(), token }
}

#[test]
fn a_session_ends_with_all_of_its_tokens_and_no_others() {
    let ended = ended([session(1, NOW_S)]);
    assert!(
        ended.contains(&identity(Some(1), "a", 5)) && ended.contains(&identity(Some(1), "b", 9))
    );
    assert!(
        !ended.contains(&identity(Some(2), "a", 5)) && !ended.contains(&identity(None, "a", 5))
    );
}

#[test]
fn a_token_without_a_session_ends_alone_or_with_those_issued_until_the_same_second() {
    let ended = ended([token("a", NOW_S), user_tokens(5, NOW_S)]);
    assert!(ended.contains(&identity(None, "a", 9)) && ended.contains(&identity(None, "b", 5)));
    assert!(!ended.contains(&identity(None, "b", 6)));
    // Tokens with a session end with it.
    assert!(!ended.contains(&identity(Some(1), "a", 5)));
}

#[test]
fn the_last_of_several_entries_about_the_same_tokens_counts() {
    let mut ended = ended([session(1, 2_000), user_tokens(9, 2_000)]);
    ended.add(vec![session(1, 500), user_tokens(5, 500)]);
    ended.purge(NOW_S);
    assert!(ended.contains(&identity(Some(1), "a", 0)) && ended.contains(&identity(None, "b", 9)));
}

#[test]
fn what_has_expired_is_forgotten() {
    let mut ended = ended([
        session(1, NOW_S),
        session(2, NOW_S + 1),
        token("a", NOW_S),
        token("b", NOW_S + 1),
        user_tokens(5, NOW_S),
    ]);
    ended.purge(NOW_S);
    assert_eq!(ended.len(), 2);
    assert!(ended.contains(&identity(Some(2), "c", 0)) && ended.contains(&identity(None, "b", 9)));
}

#[test]
fn too_many_ended_sessions_end_the_older_ones_too() {
    let mut ended = ended((1..=100).map(|id| session(2 * id, NOW_S)));
    ended.limit(99, 0);
    assert!(ended.len() < 99, "{}", ended.len());
    // Whatever has ended stays ended, and the newest sessions go on.
    assert!((1..=100).all(|id| ended.contains(&identity(Some(2 * id), "a", 0))));
    assert!(ended.contains(&identity(Some(1), "a", 0)));
    assert!(!ended.contains(&identity(Some(199), "a", 0)));
}

#[test]
fn too_many_ended_tokens_without_a_session_end_all_of_their_kind() {
    let mut ended = ended([token("a", NOW_S), token("b", NOW_S), session(1, NOW_S)]);
    ended.limit(1, 1);
    assert_eq!(ended.len(), 1);
    assert!(ended.contains(&identity(None, "c", 9)) && !ended.contains(&identity(Some(2), "a", 0)));
}
