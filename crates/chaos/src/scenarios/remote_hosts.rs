//! A Parlance that runs already, however it was started: clients talk whatever is done to it
//! meanwhile, until whoever does that has finished, and then what they have recorded is judged.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::Measured;
use super::workload::Crowd;
use crate::api::Api;
use crate::checker::judge;
use crate::clients::{Progress, SharedWorld};
use crate::collect::collect;
use crate::history::History;
use crate::nemesis::Extent;
use crate::plan::{Plan, Scale};
use crate::progress::Display;
use crate::run;

/// Little enough for a machine that also runs everything else.
const SCALE: Scale = Scale {
    users: 12,
    rooms: 6,
    members: 5,
    rate: 30,
    duration: Duration::ZERO,
    extent: Extent::Sample,
    ..Scale::QUICK
};
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Where it runs.
#[derive(Clone, Debug)]
pub(crate) struct Elsewhere {
    /// A gateway, or what stands before several.
    pub(crate) gateway: SocketAddr,
    /// Its database, for somebody who may read the schema of messaging.
    pub(crate) database_url: String,
}

/// Talks until the standard input ends. How far the clients have come is told on the standard
/// output, in a line twice a second.
pub(crate) async fn measure(
    place: &Elsewhere,
    seed: u64,
    display: &Display,
) -> anyhow::Result<Measured> {
    let plan = Plan::new(seed, SCALE);
    display.step("making people and rooms");
    // Others may have been here before.
    let api =
        Api::at(&[place.gateway])?.for_people_named(&format!("p{:08x}x", rand::random::<u32>()));
    let world = run::make_world(api, &plan).await.context("cannot make the people and rooms")?;
    let world: SharedWorld = Arc::new(world);
    let mut crowd = Crowd::new(vec![world.clone()], seed);
    (0..plan.scale.users).for_each(|person| crowd.subscribe(0, person));
    let senders = run::start_senders(&world, &plan, &crowd.phases());
    display.step("talking");
    tokio::select! {
        _ = end_of_input()? => {}
        result = tell(&world.progress) => result?,
    }
    display.step("waiting for quiet");
    let (sends, views) = crowd.finish(senders).await?;

    let mut history = History { sends, views, ..History::default() };
    collect(&place.database_url, &world, &mut history).await?;
    let verdict = judge(&history);
    let (sent, views) = (history.sends.len(), history.views.len());
    let mut report = String::new();
    writeln!(report, "{sent} messages sent, {views} subscriptions")?;
    report.push_str(&super::findings(&verdict)?);
    Ok(Measured { report, is_kept: verdict.is_clean() })
}

/// Resolves when nothing more can come from the standard input. A thread of its own waits, which
/// nobody has to wait for.
fn end_of_input() -> anyhow::Result<oneshot::Receiver<()>> {
    let (end, ended) = oneshot::channel();
    thread::Builder::new().name("input".to_owned()).spawn(move || {
        // An error is an end, too; when the run is over nobody wants to know.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = end.send(());
    })?;
    Ok(ended)
}

/// Never ends but with an error.
async fn tell(progress: &Progress) -> anyhow::Result<()> {
    let mut ticks = interval(PROGRESS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let acked = progress.acked.load(Ordering::Relaxed);
        let delivered = progress.delivered.load(Ordering::Relaxed);
        writeln!(io::stdout(), "{acked} acknowledged, {delivered} delivered")
            .context("nobody listens")?;
    }
}
