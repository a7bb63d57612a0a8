//! Those who change who is where while it all goes on: owners who remove members, strangers who
//! become contacts.

use std::time::Duration;

use anyhow::Context;
use tokio::time::{Instant, sleep_until};

use super::{Phase, Phases, SharedWorld, reached};
use crate::history::Removal;
use crate::plan;

/// Carries out the planned removals one after the other; those that were answered.
pub(crate) async fn remove_members(
    world: SharedWorld,
    planned: Vec<plan::Removal>,
    mut phases: Phases,
) -> anyhow::Result<Vec<Removal>> {
    let begin = Instant::now();
    let mut removals = Vec::new();
    for removal in planned {
        if !waits_until(begin, removal.at, &mut phases).await {
            break;
        }
        let (room, members) = &world.rooms[removal.room];
        let (owner, member) = (&world.people[members[0]], &world.people[removal.person]);
        world.api.remove(owner, *room, member).await.context("a removal failed")?;
        let answered_at = world.clock.now().as_micros();
        removals.push(Removal { user: member.id, room: *room, answered_at });
    }
    Ok(removals)
}

/// Carries out the planned meetings one after the other.
pub(crate) async fn make_contacts(
    world: SharedWorld,
    planned: Vec<plan::Meeting>,
    mut phases: Phases,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    for meeting in planned {
        if !waits_until(begin, meeting.at, &mut phases).await {
            break;
        }
        let (one, other) = (&world.people[meeting.one], &world.people[meeting.other]);
        world.api.befriend(one, other).await.context("two people could not become contacts")?;
    }
    Ok(())
}

/// Whether the time came before the run finished.
async fn waits_until(begin: Instant, at: Duration, phases: &mut Phases) -> bool {
    tokio::select! {
        () = reached(phases, Phase::Finishing) => false,
        () = sleep_until(begin + at) => true,
    }
}
