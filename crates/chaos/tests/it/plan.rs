//! Plans.

use std::collections::BTreeSet;
use std::time::Duration;

use parlance_chaos::nemesis::{Fault, NetworkFault};
use parlance_chaos::plan::{Plan, Scale};

#[test]
fn the_same_seed_makes_the_same_plan_and_another_seed_another_one() {
    let text = |seed| format!("{:?}", Plan::new(seed, Scale::QUICK));
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn a_run_has_every_kind_of_fault_and_its_length_is_bounded() {
    for (scale, max_seconds) in [(Scale::QUICK, 140), (Scale::FULL, 590)] {
        let plan = Plan::new(4, scale);
        let faults = plan.faults.iter().flat_map(|scheduled| &scheduled.faults);
        let kinds: BTreeSet<String> = faults.map(kind).collect();
        assert_eq!(kinds.len(), 23, "{kinds:?}");
        let length: Duration = plan.faults.iter().map(|it| it.after + it.duration).sum();
        assert!(length >= scale.duration && length.as_secs() < max_seconds, "{length:?}");
    }
}

/// The name of a fault without its random parts.
fn kind(fault: &Fault) -> String {
    match fault {
        Fault::Network { fault: NetworkFault::Cut(_), .. } => "cut".to_owned(),
        Fault::Network { fault, .. } => fault.to_string(),
        _ => fault.to_string().replace(|character: char| character.is_ascii_digit(), ""),
    }
}

#[test]
fn owners_are_never_removed_and_members_at_most_once() {
    let plan = Plan::new(3, Scale::FULL);
    let removed: BTreeSet<_> =
        plan.removals.iter().map(|removal| (removal.room, removal.user)).collect();
    assert_eq!(removed.len(), plan.removals.len());
    assert!(!removed.is_empty());
    assert!(removed.iter().all(|(room, user)| plan.rooms[*room][0] != *user));
}
