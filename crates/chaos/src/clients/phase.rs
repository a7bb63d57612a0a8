//! The phases of a run, as clients follow them.

use tokio::sync::watch;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Running,
    /// Start nothing new, finish what was started.
    Finishing,
    /// Leave.
    Over,
}

/// The present phase. The workload sends it.
pub(crate) type Phases = watch::Receiver<Phase>;

/// Waits until the phase has come.
pub(crate) async fn reached(phases: &mut Phases, phase: Phase) {
    // An error means that the workload has gone, which ends all phases.
    let _ = phases.wait_for(|present| *present >= phase).await;
}
