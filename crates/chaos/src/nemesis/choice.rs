//! Which faults make a round: every kind once, at replicas and on ways that are taken by chance.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Fault, Hindrance, PARTS};
use crate::misbehaving::Misbehaviour;
use crate::network::{CLIENTS, Route, Shutdown};
use crate::plan::REPLICAS;

/// How much of what could be combined is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Every kind of fault, some together, each kind of hindrance on one way.
    Sample,
    /// Every kind of fault alone, each kind of hindrance on every kind of way.
    Everything,
}

/// Those on whose behalf a way is taken.
const WAYS: [Way; 7] = [
    Way::ClientsToGateway,
    Way::GatewayToMessaging,
    Way::GatewayToOther,
    Way::ContactsToRooms,
    Way::MessagingToRooms,
    Way::ToPostgres,
    Way::ToRedis,
];

/// A kind of way between two processes.
#[derive(Clone, Copy, Debug)]
enum Way {
    ClientsToGateway,
    GatewayToMessaging,
    GatewayToOther,
    ContactsToRooms,
    MessagingToRooms,
    ToPostgres,
    ToRedis,
}

/// One round, each entry to be injected alone. `homes_agree` says which ways there are.
pub(crate) fn round(rng: &mut StdRng, extent: Extent, homes_agree: bool) -> Vec<Vec<Fault>> {
    let mut faults: Vec<Vec<Fault>> =
        [Fault::KillRedis, Fault::PauseRedis, Fault::BreakPublications, Fault::StopPostgres]
            .map(|fault| vec![fault])
            .into();
    faults.extend(of_replicas(rng, extent, |part, index| Fault::Kill { part, index }));
    faults.extend(of_replicas(rng, extent, |part, index| Fault::Pause { part, index }));
    faults.extend(hindrances(rng, extent, homes_agree).into_iter().map(|fault| vec![fault]));
    faults.extend(together(extent, [Fault::CutSubscribersOfRedis, Fault::CutEverybody]));
    faults.extend(together(extent, Misbehaviour::ALL.map(Fault::Misbehave)));
    faults.shuffle(rng);
    faults
}

/// Of every part. auth and contacts have nothing to do with each other.
fn of_replicas(
    rng: &mut StdRng,
    extent: Extent,
    fault: impl Fn(&'static str, usize) -> Fault,
) -> Vec<Vec<Fault>> {
    let [gateway, auth, contacts, rooms, messaging] =
        PARTS.map(|part| fault(part, rng.random_range(0..REPLICAS)));
    let mut faults = vec![vec![gateway], vec![rooms], vec![messaging]];
    faults.extend(together(extent, [auth, contacts]));
    faults
}

fn hindrances(rng: &mut StdRng, extent: Extent, homes_agree: bool) -> Vec<Fault> {
    let mut ways = WAYS;
    ways.shuffle(rng);
    let mut faults = Vec::new();
    let ending = if rng.random() { Shutdown::Close } else { Shutdown::Reset };
    for (index, hindrance) in
        [Hindrance::Stall, Hindrance::Cut(ending), Hindrance::Delay].into_iter().enumerate()
    {
        let taken = match extent {
            Extent::Sample => &ways[index..=index],
            Extent::Everything => &ways[..],
        };
        faults.extend(
            taken
                .iter()
                .map(|way| Fault::Hinder { route: way.choose(rng, homes_agree), hindrance }),
        );
    }
    faults
}

fn together<const N: usize>(extent: Extent, faults: [Fault; N]) -> Vec<Vec<Fault>> {
    match extent {
        Extent::Sample => vec![faults.into()],
        Extent::Everything => faults.map(|fault| vec![fault]).into(),
    }
}

impl Way {
    /// One of this kind.
    fn choose(self, rng: &mut StdRng, homes_agree: bool) -> Route {
        let (caller, callee) = match self {
            Self::ClientsToGateway => (CLIENTS, "gateway"),
            Self::GatewayToMessaging => ("gateway", "messaging"),
            Self::GatewayToOther => ("gateway", one_of(rng, ["auth", "contacts", "rooms"])),
            Self::ContactsToRooms => ("contacts", "rooms"),
            Self::MessagingToRooms => ("messaging", "rooms"),
            Self::ToPostgres => {
                (one_of(rng, ["auth", "contacts", "rooms", "messaging"]), "postgres")
            }
            Self::ToRedis => ("messaging", "redis"),
        };
        Route::between(
            (caller, rng.random_range(0..REPLICAS)),
            (callee, rng.random_range(0..REPLICAS)),
            homes_agree,
        )
    }
}

fn one_of<const N: usize>(rng: &mut StdRng, parts: [&'static str; N]) -> &'static str {
    parts[rng.random_range(0..N)]
}
