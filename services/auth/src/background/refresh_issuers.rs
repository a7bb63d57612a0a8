//! Keeps the trusted issuers and their keys fresh: reads the file again and again, and fetches keys
//! that are due or asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parlance_runtime::{Lifecycle, ticks};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::exchange_metrics::ExchangeMetrics;
use crate::issuers::{FetchedKeys, Issuers, IssuersFile, KeySource};

/// How often the file is read, and due keys are looked for.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reads the file once, if there is one, and starts the task that refreshes everything.
pub(crate) async fn start(
    path: Option<PathBuf>,
    metrics: ExchangeMetrics,
    lifecycle: &Lifecycle,
) -> anyhow::Result<watch::Receiver<Arc<Issuers>>> {
    let Some(path) = path else {
        return Ok(watch::channel(Arc::default()).1);
    };
    let file = IssuersFile::read(&path).await?;
    let wake = Arc::new(Notify::new());
    let issuers = Arc::new(Issuers::new(file.clone(), &Issuers::default(), &wake));
    tracing::info!(issuers = issuers.len(), "trusted issuers of identities read");
    let (sender, receiver) = watch::channel(issuers);
    let task = Refresh { path, known: Ok(file), wake, sender, metrics, fetches: JoinSet::new() };
    lifecycle.spawn_task("refresh of the issuers", task.run());
    Ok(receiver)
}

type Fetch = (Arc<KeySource>, anyhow::Result<FetchedKeys>);

struct Refresh {
    path: PathBuf,
    /// The file as it was last read, or why it could not be used.
    known: Result<IssuersFile, String>,
    wake: Arc<Notify>,
    sender: watch::Sender<Arc<Issuers>>,
    metrics: ExchangeMetrics,
    /// At most one for each place.
    fetches: JoinSet<Fetch>,
}

impl Refresh {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut ticks = ticks(INTERVAL);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.reload().await,
                () = self.wake.notified() => (),
                Some(ended) = self.fetches.join_next() => self.end_fetch(ended?),
            }
            let issuers = self.sender.borrow().clone();
            for source in issuers.sources().filter(|source| source.begin_fetch()).cloned() {
                self.fetches.spawn(async move {
                    let fetched = source.fetch().await;
                    (source, fetched)
                });
            }
        }
    }

    /// Uses a new file as soon as it changes. One that cannot be used is logged once, and the
    /// issuers before it stay in use.
    async fn reload(&mut self) {
        let read = IssuersFile::read(&self.path).await.map_err(|error| format!("{error:#}"));
        if read == self.known {
            return;
        }
        match &read {
            Ok(file) => {
                let issuers = Issuers::new(file.clone(), &self.sender.borrow(), &self.wake);
                tracing::info!(issuers = issuers.len(), "trusted issuers of identities changed");
                self.sender.send_replace(Arc::new(issuers));
            }
            Err(error) => log_unusable(&self.path, error),
        }
        self.known = read;
    }

    fn end_fetch(&self, (source, fetched): Fetch) {
        let outcome = if fetched.is_ok() { "fetched" } else { "failed" };
        self.metrics.count_fetch(&source.name, outcome);
        if let Err(error) = &fetched {
            let (issuer, error) = (&source.name, format!("{error:#}"));
            tracing::warn!(issuer, error, "cannot fetch the keys of an issuer; retrying");
        }
        let keys = source.end_fetch(fetched.ok());
        tracing::debug!(issuer = source.name, keys, "fetch of an issuer's keys ended");
    }
}

fn log_unusable(path: &Path, error: &str) {
    let file = path.display();
    tracing::warn!(%file, error, "the issuers' file cannot be used; the old issuers stay in use");
}
