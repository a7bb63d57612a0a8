//! Misbehaves at all gateways at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use super::kind::Misbehaviour;
use super::target::{Accounts, Target};
use super::{flood, garbage, idle, never_read};

/// Misbehaves for a duration, or less where more is of no use. Returns the breaches.
pub(crate) async fn run(
    misbehaviour: Misbehaviour,
    accounts: &Accounts,
    gateways: &[SocketAddr],
    duration: Duration,
) -> Vec<String> {
    let until = Instant::now() + duration.min(misbehaviour.duration());
    let clients = gateways.iter().enumerate().map(async |(index, gateway)| {
        let target = Target { accounts, gateway: *gateway, until };
        let breaches = match misbehaviour {
            Misbehaviour::NeverRead => never_read::run(target).await,
            Misbehaviour::Flood => flood::run(target).await,
            Misbehaviour::Garbage => garbage::run(target).await,
            Misbehaviour::Idle => idle::run(target).await,
        };
        let breaches = count_equal(breaches).into_iter();
        breaches.map(move |breach| format!("gateway {}: {breach}", index + 1))
    });
    join_all(clients).await.into_iter().flatten().collect()
}

/// Replaces equal breaches by one with their number.
fn count_equal(breaches: Vec<String>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for breach in breaches {
        *counts.entry(breach).or_default() += 1;
    }
    let number = |(breach, count): (String, usize)| match count {
        1 => breach,
        _ => format!("{breach} ({count} times)"),
    };
    counts.into_iter().map(number).collect()
}
