//! Which faults make a round: each kind once, at random replicas and on random routes.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::fault::{Fault, NetworkFault, ScheduledFaults};
use crate::misbehaving::Misbehaviour;
use crate::network::CloseKind;
use crate::topology::{CLIENTS, PROGRAMS, REPLICAS, Route};

/// How many of the possible combinations a round has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// Each kind of fault, some of them together, and each network fault on one kind of route.
    Sample,
    /// Each kind of fault alone, and each network fault on each kind of route.
    Full,
}

/// The kinds of routes: the possible callers, and the possible callees.
const ROUTE_KINDS: [(&[&str], &[&str]); 7] = [
    (&[CLIENTS], &["gateway"]),
    (&["gateway"], &["messaging"]),
    (&["gateway"], &["auth", "contacts", "rooms"]),
    (&["contacts"], &["rooms"]),
    (&["messaging"], &["rooms"]),
    (&["auth", "contacts", "rooms", "messaging"], &["postgres"]),
    (&["messaging"], &["redis"]),
];

/// Returns the faults of one round in random order. `min_gap` lies between two entries.
pub(crate) fn round(
    rng: &mut StdRng,
    coverage: Coverage,
    owners_agree: bool,
    min_gap: Duration,
) -> Vec<ScheduledFaults> {
    let mut faults: Vec<Vec<Fault>> =
        [Fault::KillRedis, Fault::PauseRedis, Fault::BreakPublications, Fault::StopPostgres]
            .map(|fault| vec![fault])
            .into();
    faults.extend(at_replicas(rng, coverage, |program, index| Fault::Kill { program, index }));
    faults.extend(at_replicas(rng, coverage, |program, index| Fault::Pause { program, index }));
    faults.extend(on_routes(rng, coverage, owners_agree).into_iter().map(|fault| vec![fault]));
    faults.extend(grouped(coverage, [Fault::DropRedisSubscribers, Fault::DropClients]));
    faults.extend(grouped(coverage, Misbehaviour::ALL.map(Fault::Misbehave)));
    faults.shuffle(rng);
    let schedule = |faults: Vec<Fault>| {
        let after = min_gap + Duration::from_millis(rng.random_range(0..200));
        let durations = faults.iter().map(|fault| duration(*fault, rng, coverage));
        let duration = durations.max().unwrap_or_default();
        ScheduledFaults { after, faults, duration }
    };
    faults.into_iter().map(schedule).collect()
}

fn duration(fault: Fault, rng: &mut StdRng, coverage: Coverage) -> Duration {
    let longest = if coverage == Coverage::Sample { 2_500 } else { 4_000 };
    match fault {
        Fault::DropRedisSubscribers | Fault::DropClients => Duration::ZERO,
        Fault::Kill { .. } => Duration::from_millis(rng.random_range(200..1_500)),
        Fault::Misbehave(misbehaviour) => misbehaviour.duration(),
        _ => Duration::from_millis(rng.random_range(1_000..longest)),
    }
}

/// A fault at one replica of each program. auth and contacts do not depend on each other.
fn at_replicas(
    rng: &mut StdRng,
    coverage: Coverage,
    fault: impl Fn(&'static str, usize) -> Fault,
) -> Vec<Vec<Fault>> {
    let [gateway, auth, contacts, rooms, messaging] =
        PROGRAMS.map(|program| fault(program, rng.random_range(0..REPLICAS)));
    let mut faults = vec![vec![gateway], vec![rooms], vec![messaging]];
    faults.extend(grouped(coverage, [auth, contacts]));
    faults
}

fn on_routes(rng: &mut StdRng, coverage: Coverage, owners_agree: bool) -> Vec<Fault> {
    let mut kinds = ROUTE_KINDS;
    kinds.shuffle(rng);
    let close = if rng.random() { CloseKind::Fin } else { CloseKind::Reset };
    let network_faults = [NetworkFault::Stall, NetworkFault::Cut(close), NetworkFault::Delay];
    let mut faults = Vec::new();
    for (index, fault) in network_faults.into_iter().enumerate() {
        let is_sample = coverage == Coverage::Sample;
        let chosen = if is_sample { &kinds[index..=index] } else { &kinds[..] };
        let routes = chosen.iter().map(|kind| route(rng, *kind, owners_agree));
        faults.extend(routes.map(|route| Fault::Network { route, fault }));
    }
    faults
}

fn grouped<const N: usize>(coverage: Coverage, faults: [Fault; N]) -> Vec<Vec<Fault>> {
    match coverage {
        Coverage::Sample => vec![faults.into()],
        Coverage::Full => faults.map(|fault| vec![fault]).into(),
    }
}

/// Returns a random route of a kind.
fn route(
    rng: &mut StdRng,
    (callers, callees): (&[&'static str], &[&'static str]),
    owners_agree: bool,
) -> Route {
    let mut replica = |programs: &[&'static str]| {
        (programs[rng.random_range(0..programs.len())], rng.random_range(0..REPLICAS))
    };
    Route::between(replica(callers), replica(callees), owners_agree)
}
