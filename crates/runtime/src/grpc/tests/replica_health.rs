use std::time::Duration;

use tokio::time::Instant;

use super::{ReplicaHealth, Standing};

/// A replica, and a time that the test moves on.
struct Fixture {
    health: ReplicaHealth,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        Self { health: ReplicaHealth::default(), now: Instant::now() }
    }

    fn pass(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }

    fn standing(&self) -> Standing {
        self.health.standing(self.now)
    }

    /// A call that takes 100 ms and is not answered.
    fn fail(&mut self, is_trial: bool) {
        let began = self.now;
        self.pass(100);
        self.health.failed(began, is_trial, self.now);
    }

    /// Waits until the ejection is over. Returns how long it took, in milliseconds.
    fn wait(&mut self) -> u64 {
        let mut waited = 0;
        while self.standing() == Standing::Ejected {
            self.pass(100);
            waited += 100;
        }
        waited
    }
}

#[test]
fn each_ejection_takes_twice_as_long_up_to_a_bound_until_the_replica_answers() {
    let mut replica = Fixture::new();
    replica.fail(false);
    let mut ejections = vec![replica.wait()];
    for _ in 0..7 {
        assert!(replica.health.begin_trial(replica.now));
        replica.fail(true);
        ejections.push(replica.wait());
    }
    assert_eq!(ejections, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);

    assert!(replica.health.begin_trial(replica.now));
    replica.health.answered(replica.now);
    assert_eq!(replica.standing(), Standing::Healthy);
    replica.fail(false);
    assert_eq!(replica.wait(), 500);
}

#[test]
fn one_call_at_a_time_tries_a_replica_whose_ejection_is_over() {
    let mut replica = Fixture::new();
    replica.fail(false);
    replica.wait();
    assert_eq!(replica.standing(), Standing::Returning);
    assert!(replica.health.begin_trial(replica.now));
    assert_eq!(replica.standing(), Standing::Ejected);
    assert!(!replica.health.begin_trial(replica.now));
    // The caller of the trial has gone: the replica is tried again.
    assert_eq!(replica.wait(), 500);
    assert!(replica.health.begin_trial(replica.now));
}

#[test]
fn calls_that_fail_together_eject_once() {
    let mut replica = Fixture::new();
    let began = replica.now;
    replica.pass(100);
    for _ in 0..10 {
        replica.health.failed(began, false, replica.now);
    }
    assert_eq!(replica.wait(), 500);
    // This one began before the ejection, too.
    replica.health.failed(began, false, replica.now);
    assert_eq!(replica.standing(), Standing::Returning);
    // And calls that went to it for want of another replica do not make it longer.
    replica.health.begin_trial(replica.now);
    replica.fail(false);
    assert_eq!(replica.wait(), 400);
}

#[test]
fn a_replica_that_answers_other_calls_is_slow_and_is_not_ejected() {
    let mut replica = Fixture::new();
    let began = replica.now;
    replica.pass(50);
    replica.health.answered(replica.now);
    replica.pass(50);
    replica.health.failed(began, false, replica.now);
    assert_eq!(replica.standing(), Standing::Healthy);
}

#[test]
fn calls_go_to_the_replica_that_failed_the_least() {
    let rank = |replica: &Fixture, may_try| replica.health.rank(may_try, replica.now);
    let (healthy, mut once, mut twice) = (Fixture::new(), Fixture::new(), Fixture::new());
    once.fail(false);
    twice.fail(false);
    twice.wait();
    twice.fail(true);
    assert!(rank(&healthy, true) < rank(&once, true));
    assert!(rank(&once, true) < rank(&twice, true));

    once.wait();
    assert_eq!(rank(&once, true), rank(&healthy, true), "one call that can be repeated tries it");
    assert!(rank(&once, false) > rank(&healthy, false), "no other call does");
    assert!(rank(&once, false) < rank(&twice, false));
}
