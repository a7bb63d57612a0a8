//! Carries out a plan and returns what was recorded.

use std::sync::Arc;

use anyhow::Context;
use parlance_devstack::Progress;
use tokio::task::JoinSet;

use super::environment::Environment;
use super::final_state::read_final_state;
use super::resources::ResourceMonitor;
use super::setup::create_world;
use crate::clients::{
    Target, Workload, World, end_sessions, join_all, make_contacts, remove_members,
};
use crate::history::{FaultRecord, History, Stage};
use crate::nemesis::{Injector, inject};
use crate::plan::Plan;
use crate::progress::watch;

/// One of so many users begins and ends sessions.
const USERS_PER_SESSION_CLIENT: usize = 10;

/// Carries out the plan and records the resources of all processes.
pub async fn execute_with_resources(
    target: Target,
    environment: &Environment,
    plan: &Plan,
    progress: &Progress,
) -> anyhow::Result<History> {
    let mut monitor = ResourceMonitor::new(&environment.stack);
    monitor.sample(Stage::Idle).await;
    let mut history = tokio::select! {
        history = execute(target, environment, plan, progress) => history?,
        never = monitor.sample_forever() => match never {},
    };
    progress.line("waiting until all resources are returned");
    monitor.sample_until_returned().await;
    history.footprints = monitor.into_footprints();
    Ok(history)
}

/// Carries out the plan.
pub async fn execute(
    target: Target,
    environment: &Environment,
    plan: &Plan,
    progress: &Progress,
) -> anyhow::Result<History> {
    progress.line("creating users and rooms");
    let world = create_world(target, plan).await.context("cannot create the users and rooms")?;
    let world = Arc::new(world);

    progress.line("sending without faults");
    let mut workload = Workload::new(vec![world.clone()], plan.seed, plan.scale.waits);
    workload.subscribe_all();
    let senders = workload.start_senders(plan.scale.rate);
    let (mut removing, mut inviting) = (JoinSet::new(), JoinSet::new());
    removing.spawn(remove_members(world.clone(), plan.removals.clone(), workload.phases()));
    inviting.spawn(make_contacts(world.clone(), plan.new_contacts.clone(), workload.phases()));
    let mut ending = JoinSet::new();
    for user in (0..world.users.len()).step_by(USERS_PER_SESSION_CLIENT) {
        let (rng, phases) = (workload.next_rng(), workload.phases());
        ending.spawn(end_sessions(world.clone(), user, rng, phases));
    }

    let faults = inject_all(environment, plan, &world, progress).await?;

    progress.line("all faults have ended: waiting for answers and deliveries");
    workload.stop(senders).await?;
    let removals =
        join_all(&mut removing).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let removals = removals.concat();
    join_all(&mut inviting).await?.into_iter().collect::<anyhow::Result<()>>()?;
    let ended = join_all(&mut ending).await?.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let ended_sessions = ended.concat();
    let database_url = environment.stack.database_url();
    let history = finish(workload, removals.len(), &world, &database_url).await?;
    Ok(History { removals, ended_sessions, faults, ..history })
}

/// Ends a workload and reads the store. `removed` is the number of subscriptions of removed
/// members.
pub(crate) async fn finish(
    workload: Workload,
    removed: usize,
    world: &World,
    database_url: &str,
) -> anyhow::Result<History> {
    let (sends, views) = workload.finish(removed).await?;
    let mut history = History { sends, views, ..History::default() };
    read_final_state(database_url, world, &mut history).await?;
    Ok(history)
}

async fn inject_all(
    environment: &Environment,
    plan: &Plan,
    world: &World,
    progress: &Progress,
) -> anyhow::Result<Vec<FaultRecord>> {
    let Environment { stack, proxies, .. } = environment;
    let World { clock, misbehaving, target, .. } = world;
    let (accounts, gateways) = (misbehaving.as_ref(), target.gateways.as_slice());
    let injector = Injector { stack, proxies, clock, accounts, gateways };
    let mut records: Vec<FaultRecord> = Vec::new();
    watch(progress, plan.scale.waits.calm, &world.counters).await;
    for (index, scheduled) in plan.faults.iter().enumerate() {
        watch(progress, scheduled.after, &world.counters).await;
        progress.line(&format!("fault {} of {}: {scheduled}", index + 1, plan.faults.len()));
        if let Some(last) = records.last_mut() {
            last.observed_until = world.clock.now().as_micros();
        }
        records.push(inject(injector, scheduled).await?);
    }
    watch(progress, plan.scale.waits.calm * 2, &world.counters).await;
    Ok(records)
}
