//! Clients that change memberships and contacts while messages flow.

use anyhow::{Context, ensure};
use parlance_client::endpoints;
use tokio::time::{Instant, sleep_until};

use super::phase::{Phase, Phases, reached};
use super::world::SharedWorld;
use crate::history::Removal;
use crate::plan;

/// Removes members as planned, one after the other. Returns the removals that were answered.
pub(crate) async fn remove_members(
    world: SharedWorld,
    planned: Vec<plan::Removal>,
    mut phases: Phases,
) -> anyhow::Result<Vec<Removal>> {
    let begin = Instant::now();
    let mut removals = Vec::new();
    for removal in planned {
        if !is_running_at(begin + removal.at, &mut phases).await {
            break;
        }
        let room = &world.rooms[removal.room];
        let (owner, member) = (&world.users[room.members[0]], &world.users[removal.user]);
        let request = endpoints::remove_member(&owner.token, room.id, &member.username);
        let answer = world.target.client.send_until_answered(request).await;
        let answer = answer.context("a removal failed")?;
        // The answer to an earlier attempt may have been lost.
        let is_removed = answer.status == 204 || answer.has_code("not_a_member");
        ensure!(is_removed, "a removal was answered {} {}", answer.status, answer.text);
        let answered_at = world.clock.now().as_micros();
        removals.push(Removal { user: member.user_id, room: room.id, answered_at });
    }
    Ok(removals)
}

/// Makes users contacts as planned, one pair after the other.
pub(crate) async fn make_contacts(
    world: SharedWorld,
    planned: Vec<plan::NewContact>,
    mut phases: Phases,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    for contact in planned {
        if !is_running_at(begin + contact.at, &mut phases).await {
            break;
        }
        let (one, other) = (&world.users[contact.one], &world.users[contact.other]);
        let made = world.target.client.make_contacts(one, other).await;
        made.context("two users could not become contacts")?;
    }
    Ok(())
}

/// Waits for a time. Returns false if the run finishes earlier.
async fn is_running_at(at: Instant, phases: &mut Phases) -> bool {
    tokio::select! {
        () = reached(phases, Phase::Finishing) => false,
        () = sleep_until(at) => true,
    }
}
