//! The proof that the checker has teeth: every promise is broken on the real way of a message, by a
//! man in the middle between real clients and the gateways or by triggers in the store, and the run
//! has to find just that.

mod interceptor;
mod tampering;
mod triggers;

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use self::interceptor::Middle;
use self::tampering::Harm;
use self::triggers::Lie;
use crate::checker::{Rule, Verdict, judge};
use crate::misbehaving::Misbehaviour;
use crate::nemesis::Fault;
use crate::plan::{Meeting, Plan, Removal, Scale, Scheduled, Waits};
use crate::progress::Display;
use crate::run::{self, Arena};

/// The first ones own a room each; nobody else is an owner.
const OWNERS: usize = 2;
/// Two who know each other through nobody, until they become contacts.
const STRANGERS: [usize; 2] = [OWNERS, OWNERS + 1];

/// Of all tests: what lies between the parts of the shared Parlance has to live as long as it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// What is wrong with the way of the messages of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Sabotage {
    harm: Option<Harm>,
    lie: Option<Lie>,
}

/// What breaks a rule, and which other rules may be broken by it.
fn sabotage_of(rule: Rule) -> (Sabotage, &'static [Rule]) {
    let way = |harm| Sabotage { harm: Some(harm), lie: None };
    let store = |lie| Sabotage { harm: None, lie: Some(lie) };
    match rule {
        Rule::AckedLost => (store(Lie::ForgetMessages), &[Rule::HoleInSeq, Rule::NotSeen]),
        Rule::StoredTwice => {
            (Sabotage { harm: Some(Harm::LoseOneAck), lie: Some(Lie::ForgetKeys) }, &[])
        }
        Rule::HoleInSeq => (store(Lie::SkipNumbers), &[]),
        Rule::SeenTwice => (way(Harm::Repeat), &[]),
        Rule::OutOfOrder => (way(Harm::Swap), &[]),
        Rule::NotSeen => (way(Harm::Drop), &[]),
        Rule::OrderDiffers => (way(Harm::SwapNumbers), &[]),
        Rule::SenderReordered => (way(Harm::SwapSends), &[]),
        Rule::AfterRemoval => (way(Harm::LeakToRemoved), &[]),
        Rule::SystemRooms => (store(Lie::ForgetSystemRoom { of: STRANGERS }), &[]),
        Rule::Unanswered => (way(Harm::LoseAcksOfOneSend), &[]),
        Rule::LateRecovery => (way(Harm::HoldBack), &[]),
        Rule::BadClients => (way(Harm::Forgive), &[]),
        // Bad clients are cut off, too.
        Rule::Growth => (way(Harm::KeepConnections), &[Rule::BadClients]),
    }
}

/// Makes a test of each line; without one for every rule it does not compile.
macro_rules! proofs {
    ($($test:ident: $rule:ident;)*) => {
        $(
            #[test]
            fn $test() {
                RUNTIME.block_on(prove(Rule::$rule));
            }
        )*

        const _: fn(Rule) = |rule| match rule { $(Rule::$rule => (),)* };
    };
}

proofs! {
    a_commit_that_is_forgotten_is_found: AckedLost;
    a_key_that_is_forgotten_is_found: StoredTwice;
    a_number_that_is_skipped_is_found: HoleInSeq;
    an_event_that_is_repeated_is_found: SeenTwice;
    events_that_change_places_are_found: OutOfOrder;
    an_event_that_is_dropped_is_found: NotSeen;
    events_that_change_numbers_are_found: OrderDiffers;
    sends_that_change_places_are_found: SenderReordered;
    events_that_leak_to_somebody_removed_are_found: AfterRemoval;
    a_system_room_that_is_forgotten_is_found: SystemRooms;
    acks_that_never_arrive_are_found: Unanswered;
    events_that_are_held_back_after_a_fault_are_found: LateRecovery;
    nonsense_that_is_forgiven_is_found: BadClients;
    connections_that_are_never_closed_are_found: Growth;
}

#[test]
fn nothing_is_found_without_sabotage() {
    RUNTIME.block_on(async {
        assert_clean(&verdict(arena().await, "control", Sabotage::default(), false).await)
    });
}

async fn prove(rule: Rule) {
    let (sabotage, may_follow) = sabotage_of(rule);
    let prefix = format!("{rule:?}");
    let verdict = if rule == Rule::Growth {
        // What processes hold says something only if nobody else uses them.
        let arena = run::start(true).await.unwrap();
        assert_clean(&verdict(&arena, "control", Sabotage::default(), true).await);
        verdict(&arena, &prefix, sabotage, true).await
    } else {
        verdict(arena().await, &prefix, sabotage, false).await
    };
    let broken: Vec<Rule> =
        Rule::ALL.into_iter().filter(|rule| verdict.of(*rule).count > 0).collect();
    assert!(broken.contains(&rule), "not found: {rule:?}; {verdict:?}");
    let is_expected = |broken: &Rule| *broken == rule || may_follow.contains(broken);
    assert!(broken.iter().all(is_expected), "more than {rule:?}: {verdict:?}");
}

fn assert_clean(verdict: &Verdict) {
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// Where all runs take place that are not watched, several at a time.
async fn arena() -> &'static Arena {
    static SHARED: OnceCell<Arena> = OnceCell::const_new();
    SHARED.get_or_init(async || run::start(true).await.unwrap()).await
}

/// What a run finds with people whose names begin with the prefix, which is made of letters.
async fn verdict(arena: &Arena, prefix: &str, sabotage: Sabotage, is_watched: bool) -> Verdict {
    let api = arena.api().unwrap();
    let middle = Middle::start(api.socket_urls(), sabotage.harm).await.unwrap();
    if let Some(lie) = sabotage.lie {
        triggers::install(&arena.stack, prefix, lie).await.unwrap();
    }
    let api = api.for_others(prefix, vec![middle.url().to_owned()]);
    let (plan, display) = (plan(), Display::in_lines());
    let history = if is_watched {
        run::run(api, arena, &plan, &display).await
    } else {
        run::run_through(api, arena, &plan, &display).await
    };
    middle.assert_done(sabotage.harm);
    judge(&history.unwrap())
}

/// Small and quick, with something of everything.
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
    let (room, person) = (0, plan.rooms[0][1]);
    let [one, other] = STRANGERS;
    let scheduled = Scheduled {
        after: Duration::ZERO,
        faults: vec![Fault::Misbehave(Misbehaviour::Garbage), Fault::CutSubscribersOfRedis],
        lasts: Duration::from_millis(100),
    };
    Plan {
        removals: vec![Removal { at, room, person }],
        meetings: vec![Meeting { at, one, other }],
        faults: vec![scheduled],
        ..plan
    }
}
