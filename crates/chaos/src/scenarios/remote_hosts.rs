//! A Parlance that runs already: clients chat while another program does anything to it, until that
//! program closes the standard input. Then the recorded history is checked.

use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use parlance_devstack::Progress;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::measured::{Measured, findings};
use crate::checker::check;
use crate::clients::{Counters, Target, Workload};
use crate::plan::{Plan, Scale};
use crate::run::{create_world, finish};

/// Small, because the machine also runs everything else.
const SCALE: Scale =
    Scale { users: 12, rooms: 6, members: 5, rate: 30, duration: Duration::ZERO, ..Scale::QUICK };
const COUNTERS_INTERVAL: Duration = Duration::from_millis(500);

/// Where that Parlance runs.
#[derive(Clone, Debug)]
pub struct RemoteHosts {
    /// A gateway, or a load balancer before several.
    pub gateway: SocketAddr,
    /// The database, for a role that may read the schema of messaging.
    pub database_url: String,
}

impl RemoteHosts {
    /// Lets clients chat until the standard input ends. Prints the counters twice a second.
    pub async fn measure(&self, seed: u64, progress: &Progress) -> anyhow::Result<Measured> {
        let plan = Plan::new(seed, SCALE);
        progress.line("creating users and rooms");
        // Earlier runs may have created users on the same database.
        let username_prefix = format!("u{:08x}x", rand::random::<u32>());
        let target = Target { username_prefix, ..Target::new(&[self.gateway]) };
        let world = create_world(target, &plan).await;
        let world = Arc::new(world.context("cannot create the users and rooms")?);
        let mut workload = Workload::new(vec![world.clone()], seed, plan.scale.waits);
        workload.subscribe_all();
        let senders = workload.start_senders(plan.scale.rate);
        progress.line("clients chat until the standard input ends");
        tokio::select! {
            _ = end_of_input()? => {}
            result = print_counters(&world.counters) => result?,
        }
        progress.line("waiting for answers and deliveries");
        workload.stop(senders).await?;
        let history = finish(workload, 0, &world, &self.database_url).await?;
        let verdict = check(&history);
        let (sent, subscriptions) = (history.sends.len(), history.views.len());
        let findings = findings(&verdict);
        let report = format!("{sent} messages sent, {subscriptions} subscriptions\n{findings}");
        Ok(Measured { report, is_kept: verdict.is_clean() })
    }
}

/// Resolves when the standard input has ended. Reading blocks, so a thread does it, which the
/// process does not wait for.
fn end_of_input() -> anyhow::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        // An error is an end, too. Without a receiver the run is over.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(());
    })?;
    Ok(ended)
}

/// Prints the counters until the standard output is closed, which is an error.
async fn print_counters(counters: &Counters) -> anyhow::Result<()> {
    let mut ticks = interval(COUNTERS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        writeln!(io::stdout(), "{counters}").context("the standard output is closed")?;
    }
}
