//! The life of a process: its tasks, its signals, its end.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::trace;

/// Owns every task of a process and ends them in order: after SIGTERM or SIGINT the process is no
/// longer ready, then drains, then stops. A background task that ends before its time ends the
/// process, so that it is started anew.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    tasks: TaskTracker,
    serving_tasks: TaskTracker,
    /// Cancelled when the process shall finish what it has begun and begin nothing new.
    draining: CancellationToken,
    /// Cancelled when the time to drain is over.
    stopped: CancellationToken,
    ready: Arc<AtomicBool>,
    drain_timeout: Duration,
    /// Where background tasks report their untimely end.
    failed_tasks: mpsc::Sender<&'static str>,
}

/// The receiving end of [`Lifecycle`], for the one who waits for the end of the process.
#[derive(Debug)]
pub struct Shutdown {
    lifecycle: Lifecycle,
    failed_tasks: mpsc::Receiver<&'static str>,
}

impl Lifecycle {
    /// A process that is not ready yet and may take `drain_timeout` to end.
    pub fn new(drain_timeout: Duration) -> (Self, Shutdown) {
        let (failed_task_sender, failed_tasks) = mpsc::channel(16);
        let lifecycle = Self {
            tasks: TaskTracker::new(),
            serving_tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            ready: Arc::new(AtomicBool::new(false)),
            drain_timeout,
            failed_tasks: failed_task_sender,
        };
        let shutdown = Shutdown { lifecycle: lifecycle.clone(), failed_tasks };
        (lifecycle, shutdown)
    }

    /// Starts a task that lives as long as the process: it ends by itself after
    /// [`draining`](Self::draining) and not before. The process waits for it when it drains.
    pub fn spawn_background(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.spawn(self.clone().watch_over(name, task));
    }

    /// Starts a task that serves the others until the very end, such as a resolver or a writer: the
    /// process does not wait for it, but drops it when everything else has drained.
    pub fn spawn_task(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let stopped = self.stopped.clone();
        let watched = self.clone().watch_over(name, task);
        self.serving_tasks.spawn(async move { stopped.run_until_cancelled(watched).await });
    }

    /// Runs a task, and reports its end unless the process is ending anyway.
    async fn watch_over(
        self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send,
    ) {
        let outcome = AssertUnwindSafe(task).catch_unwind().await;
        if self.draining.is_cancelled() {
            return;
        }
        match outcome {
            Ok(Ok(())) => tracing::error!(task = name, "a background task ended before its time"),
            Ok(Err(error)) => {
                tracing::error!(
                    task = name,
                    error = format!("{error:#}"),
                    "a background task failed"
                )
            }
            Err(_) => tracing::error!(task = name, "a background task panicked"),
        }
        // A full channel means that others have died, too: one report is enough.
        let _ = self.failed_tasks.try_send(name);
    }

    /// Starts a task of limited life, such as a connection; the process waits for it when it
    /// drains.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Resolves when the process begins to drain.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Resolves when the time to drain is over.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// How long the process may take to drain.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// Says that the process can serve.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Whether the process can serve: it is set up and does not drain.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed) && !self.draining.is_cancelled()
    }
}

impl Shutdown {
    /// Sets the process up, then waits for a signal or for the death of a background task, and
    /// drains. The exit code tells which it was. A signal that comes while the process is being set
    /// up ends it at once: it has begun nothing yet.
    pub async fn run(
        mut self,
        set_up: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut told_to_end = pin!(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        tokio::select! {
            result = set_up => result?,
            () = told_to_end.as_mut() => {
                tracing::info!("stopped before it was set up");
                return Ok(ExitCode::SUCCESS);
            }
        }
        let exit_code = tokio::select! {
            () = told_to_end => ExitCode::SUCCESS,
            _ = self.failed_tasks.recv() => ExitCode::FAILURE,
        };

        tracing::info!(drain_timeout_ms = self.lifecycle.drain_timeout.as_millis(), "draining");
        self.lifecycle.draining.cancel();
        self.lifecycle.tasks.close();
        if tokio::time::timeout(self.lifecycle.drain_timeout, self.lifecycle.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                tasks = self.lifecycle.tasks.len(),
                "the time to drain is over, what remains is cut off"
            );
        }
        trace::shut_down().await;
        self.lifecycle.stopped.cancel();
        tracing::info!("stopped");
        Ok(exit_code)
    }
}
