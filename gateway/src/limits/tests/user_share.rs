use std::pin::pin;

use futures_util::poll;
use opentelemetry::global;

use super::*;

const ANN: UserId = UserId::new(1);
const BEN: UserId = UserId::new(2);

fn shares(max_in_flight: u32) -> UserShares {
    UserShares::new(max_in_flight, global::meter("test").u64_counter("refused").build())
}

#[test]
fn all_connections_of_a_user_share_the_requests_in_flight() {
    let shares = shares(2);
    let (first, second) = (shares.of(ANN), shares.of(ANN));
    let permits = [first.try_begin(), second.try_begin()];
    assert!(permits.iter().all(Option::is_some));
    assert!(first.try_begin().is_none() && second.try_begin().is_none());
    assert_eq!(second.begin_or_refuse().err(), Some(ErrorCode::RateLimited));
    assert!(shares.of(BEN).try_begin().is_some(), "another user has another share");
    drop(permits);
    assert!(second.try_begin().is_some());
}

#[test]
fn requests_in_flight_outlive_the_connections() {
    let shares = shares(1);
    let permit = shares.of(ANN).try_begin().unwrap();
    assert_eq!(permit.in_flight(), 1);
    assert!(shares.of(ANN).try_begin().is_none(), "nobody else holds the share");
    drop(permit);
    assert!(shares.of(ANN).try_begin().is_some());
}

#[test]
fn a_user_who_uses_nothing_takes_no_memory() {
    let shares = shares(1);
    let (share, again) = (shares.of(ANN), shares.of(ANN));
    drop(share);
    assert_eq!(lock(&shares.shares).len(), 1);
    drop(again);
    assert_eq!(lock(&shares.shares).len(), 0);
}

#[tokio::test]
async fn a_request_that_waits_begins_when_another_one_ends() {
    let share = shares(1).of(ANN);
    let permit = share.try_begin().unwrap();
    let mut waiting = pin!(share.clone().begin());
    assert!(poll!(waiting.as_mut()).is_pending());
    drop(permit);
    assert!(waiting.await.is_some());
}
