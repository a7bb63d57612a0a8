//! A table of ways to break each promise in a running Parlance: an interceptor between real clients
//! and the gateways, or a trigger in the store. The checker must report that violation.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use parlance_chaos::checker::{Rule, Verdict, check};
use parlance_chaos::clients::Target;
use parlance_chaos::misbehaving::Misbehaviour;
use parlance_chaos::nemesis::{Fault, ScheduledFaults};
use parlance_chaos::plan::{NewContact, Plan, Removal, Scale, Waits};
use parlance_chaos::run::{Environment, execute, execute_with_resources};
use parlance_devstack::Progress;

use super::interceptor::Interceptor;
use super::tampering::Tampering;
use super::triggers::{self, Trigger};

/// Runs at the same time.
const CONCURRENCY: usize = 3;
/// The first users own a room each. The others own none.
const OWNERS: usize = 2;
/// Two users without contact, until they become contacts.
const NEW_CONTACTS: [usize; 2] = [OWNERS, OWNERS + 1];

/// How a promise is broken.
#[derive(Clone, Copy, Debug)]
enum Sabotage {
    None,
    Frames(Tampering),
    Store(Trigger),
    Both(Tampering, Trigger),
}

struct Row {
    sabotage: Sabotage,
    /// The violation that the checker must report.
    broken: Rule,
    /// Violations that may follow from it.
    may_follow: &'static [Rule],
}

const fn row(sabotage: Sabotage, broken: Rule) -> Row {
    Row { sabotage, broken, may_follow: &[] }
}

const ROWS: &[Row] = &[
    Row {
        sabotage: Sabotage::Store(Trigger::DeleteMessages),
        broken: Rule::AckLost,
        may_follow: &[Rule::Gap, Rule::NotDelivered],
    },
    row(Sabotage::Both(Tampering::DropOneAck, Trigger::ChangeKeys), Rule::StoredTwice),
    row(Sabotage::Store(Trigger::SkipNumbers), Rule::Gap),
    row(Sabotage::Frames(Tampering::Repeat), Rule::DeliveredTwice),
    row(Sabotage::Frames(Tampering::Reorder), Rule::OutOfOrder),
    row(Sabotage::Frames(Tampering::Drop), Rule::NotDelivered),
    row(Sabotage::Frames(Tampering::ExchangeNumbers), Rule::ConflictingSeq),
    row(Sabotage::Frames(Tampering::ReorderSends), Rule::SenderReordered),
    row(Sabotage::Frames(Tampering::LeakToRemoved), Rule::AfterRemoval),
    row(Sabotage::Store(Trigger::KeepSessions), Rule::AfterSessionEnd),
    row(Sabotage::Store(Trigger::DeleteSystemRoom(NEW_CONTACTS)), Rule::SystemRooms),
    row(Sabotage::Frames(Tampering::DropAcksOfOneSend), Rule::Unanswered),
    row(Sabotage::Frames(Tampering::Delay), Rule::LateRecovery),
    row(Sabotage::Frames(Tampering::AcceptInvalid), Rule::MisbehavingClients),
    Row {
        sabotage: Sabotage::Frames(Tampering::KeepConnections),
        broken: Rule::ResourceLeak,
        // Misbehaving clients are disconnected, too.
        may_follow: &[Rule::MisbehavingClients],
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn the_checker_reports_each_promise_that_is_broken_in_a_running_parlance() {
    for (rule, _) in Rule::ALL {
        assert!(ROWS.iter().any(|row| row.broken == rule), "{rule:?} has no row");
    }
    let environment = Environment::start(true).await.unwrap();
    // Resources tell something only if there are no other clients, so this row comes first, alone.
    let (leaks, others): (Vec<&Row>, Vec<&Row>) =
        ROWS.iter().partition(|row| row.broken == Rule::ResourceLeak);
    assert_clean(&run(&environment, "controlwithresources", Sabotage::None, true).await);
    for row in leaks {
        assert_reported(row, &run(&environment, &prefix(row), row.sabotage, true).await);
    }
    assert_clean(&run(&environment, "control", Sabotage::None, false).await);
    stream::iter(others)
        .for_each_concurrent(CONCURRENCY, async |row| {
            assert_reported(row, &run(&environment, &prefix(row), row.sabotage, false).await);
        })
        .await;
}

/// The usernames of a row. They must be letters.
fn prefix(row: &Row) -> String {
    format!("{:?}", row.broken)
}

fn assert_reported(row: &Row, verdict: &Verdict) {
    let Row { sabotage, broken, may_follow } = row;
    let reported = verdict.broken_rules();
    assert!(reported.contains(broken), "{sabotage:?}: no {broken:?} in {verdict:?}");
    let is_expected = |rule: &Rule| rule == broken || may_follow.contains(rule);
    assert!(reported.iter().all(is_expected), "{sabotage:?}: more than {broken:?}: {verdict:?}");
}

fn assert_clean(verdict: &Verdict) {
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// Returns the verdict of a run with users whose names begin with the prefix.
async fn run(
    environment: &Environment,
    prefix: &str,
    sabotage: Sabotage,
    has_resources: bool,
) -> Verdict {
    let (tampering, trigger) = match sabotage {
        Sabotage::None => (None, None),
        Sabotage::Frames(tampering) => (Some(tampering), None),
        Sabotage::Store(trigger) => (None, Some(trigger)),
        Sabotage::Both(tampering, trigger) => (Some(tampering), Some(trigger)),
    };
    let target = environment.target();
    let interceptor = Interceptor::start(target.gateways.clone(), tampering).await.unwrap();
    if let Some(trigger) = trigger {
        triggers::install(&environment.stack, prefix, trigger).await.unwrap();
    }
    let gateways = vec![interceptor.address()];
    let target = Target { gateways, username_prefix: prefix.to_owned(), ..target };
    let (plan, progress) = (plan(), Progress::plain());
    let history = if has_resources {
        execute_with_resources(target, environment, &plan, &progress).await
    } else {
        execute(target, environment, &plan, &progress).await
    };
    interceptor.assert_tampered(tampering);
    check(&history.unwrap())
}

/// A small plan with something of everything.
fn plan() -> Plan {
    let waits = Waits {
        calm: Duration::from_millis(800),
        finishing: Duration::from_secs(8),
        quiet: Duration::from_secs(8),
    };
    let small = Scale {
        users: 6,
        rooms: OWNERS,
        members: 4,
        rate: 50,
        duration: Duration::ZERO,
        waits,
        ..Scale::QUICK
    };
    let plan = Plan::new(1, small);
    let at = Duration::from_millis(400);
    let (room, user) = (0, plan.rooms[0][1]);
    let [one, other] = NEW_CONTACTS;
    let scheduled = ScheduledFaults {
        after: Duration::ZERO,
        faults: vec![Fault::Misbehave(Misbehaviour::Garbage), Fault::DropRedisSubscribers],
        duration: Duration::from_millis(100),
    };
    Plan {
        removals: vec![Removal { at, room, user }],
        new_contacts: vec![NewContact { at, one, other }],
        faults: vec![scheduled],
        ..plan
    }
}
