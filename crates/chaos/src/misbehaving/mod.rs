//! Bad clients. They know no mercy, but their time is limited, and each knows what the contract
//! lets a gateway answer: what it gets beyond that is a breach.

mod flood;
mod garbage;
mod idle;
mod never_read;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::time::Instant;

use crate::api::Person;
use crate::clients::World;

/// How clients can misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misbehaviour {
    /// Subscribing to rooms where much is said, asking for all of it again and again, and reading
    /// nothing.
    Deafness,
    /// Sending valid frames as fast as they are taken.
    Flood,
    /// Sending what is no request, no frame, or too large.
    Garbage,
    /// Opening sockets without a word, and beginning requests without an end.
    Loitering,
}

/// The accounts of bad clients, and where they may do harm.
#[derive(Debug)]
pub(crate) struct Villains {
    /// A member of some rooms of the others, and of the villains' own room.
    pub(crate) listener: Person,
    /// The owner of the villains' own room.
    pub(crate) talker: Person,
    pub(crate) own_room: i64,
    /// The rooms of the others.
    pub(crate) busy_rooms: Vec<i64>,
}

/// One gateway, as a bad client sees it.
#[derive(Clone, Copy)]
struct Target<'a> {
    villains: &'a Villains,
    /// Where it takes sockets.
    url: &'a str,
    /// When to stop.
    until: Instant,
}

impl Target<'_> {
    /// The host and port.
    fn authority(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url, |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }
}

impl Misbehaviour {
    pub(crate) const ALL: [Self; 4] = [Self::Deafness, Self::Flood, Self::Garbage, Self::Loitering];

    pub(crate) fn duration(self) -> Duration {
        match self {
            // They are sent away after 10 s.
            Self::Loitering => Duration::from_secs(11),
            _ => Duration::from_secs(3),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deafness => "clients that never read",
            Self::Flood => "clients that flood",
            Self::Garbage => "clients that send garbage",
            Self::Loitering => "clients that open and say nothing",
        })
    }
}

/// Misbehaves at all gateways for some time, or less where nothing is gained by more. What was
/// answered that must not be.
pub(crate) async fn act(
    misbehaviour: Misbehaviour,
    world: &World,
    lasts: Duration,
) -> anyhow::Result<Vec<String>> {
    let villains = world.villains.as_ref().context("there are no accounts for bad clients")?;
    let until = Instant::now() + lasts.min(misbehaviour.duration());
    let gateways = world.api.socket_urls();
    let acting = gateways.iter().enumerate().map(async |(index, url)| {
        let target = Target { villains, url, until };
        let breaches = match misbehaviour {
            Misbehaviour::Deafness => never_read::act(target).await,
            Misbehaviour::Flood => flood::act(target).await,
            Misbehaviour::Garbage => garbage::act(target).await,
            Misbehaviour::Loitering => idle::act(target).await,
        };
        counted(breaches).into_iter().map(move |breach| format!("gateway {}: {breach}", index + 1))
    });
    Ok(join_all(acting).await.into_iter().flatten().collect())
}

/// What happened several times in the same words is told once.
fn counted(breaches: Vec<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for breach in breaches {
        *counts.entry(breach).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|(breach, count)| if count > 1 { format!("{breach} ({count} times)") } else { breach })
        .collect()
}
