//! The life of a process: its tasks, its signals, its shutdown.

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

/// Owns every task of a process and ends them in order: after SIGTERM or SIGINT the process is not
/// ready, then drains, then stops. A background task that ends too early ends the process, so that
/// its supervisor restarts it.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    tasks: TaskTracker,
    serving_tasks: TaskTracker,
    /// Cancelled when the process begins to drain.
    draining: CancellationToken,
    /// Cancelled when the process has drained, or its time to drain is over.
    stopped: CancellationToken,
    is_set_up: Arc<AtomicBool>,
    drain_timeout: Duration,
    /// Background tasks that have ended too early, by name.
    failed_tasks: mpsc::Sender<&'static str>,
}

/// Waits for the end of the process. Held by `main`, while everything else holds a [`Lifecycle`].
#[derive(Debug)]
pub struct Shutdown {
    lifecycle: Lifecycle,
    failed_tasks: mpsc::Receiver<&'static str>,
}

impl Lifecycle {
    /// A process that is not ready yet, and may take `drain_timeout` to drain.
    pub fn new(drain_timeout: Duration) -> (Self, Shutdown) {
        let (failed_task_sender, failed_tasks) = mpsc::channel(16);
        let lifecycle = Self {
            tasks: TaskTracker::new(),
            serving_tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopped: CancellationToken::new(),
            is_set_up: Arc::default(),
            drain_timeout,
            failed_tasks: failed_task_sender,
        };
        (lifecycle.clone(), Shutdown { lifecycle, failed_tasks })
    }

    /// Starts a task that ends by itself after [`draining`](Self::draining), and not before. The
    /// process waits for it when it drains.
    pub fn spawn_background(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        self.spawn(self.clone().supervise(name, task));
    }

    /// Starts a task that never ends, because other tasks need it while they drain, such as a
    /// resolver or a writer. The process drops it when everything else has drained.
    pub fn spawn_task(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let stopped = self.stopped.clone();
        let supervised = self.clone().supervise(name, task);
        self.serving_tasks.spawn(async move { stopped.run_until_cancelled(supervised).await });
    }

    /// Starts a short-lived task, such as a connection. The process waits for it when it drains.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a task, and ends the process if the task ends before the process drains.
    async fn supervise(
        self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send,
    ) {
        let result = AssertUnwindSafe(task).catch_unwind().await;
        if self.draining.is_cancelled() {
            return;
        }
        let error = match result {
            Ok(Ok(())) => "it ended without an error".to_owned(),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "it panicked".to_owned(),
        };
        tracing::error!(task = name, error, "a background task ended too early; shutting down");
        // A full channel holds other reports. One is enough.
        let _ = self.failed_tasks.try_send(name);
    }

    /// Cancelled when the process begins to drain: it finishes what it has begun, and begins
    /// nothing new.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when the process has drained, or its time to drain is over.
    pub fn stopped(&self) -> &CancellationToken {
        &self.stopped
    }

    /// How long the process may take to drain.
    pub fn drain_timeout(&self) -> Duration {
        self.drain_timeout
    }

    /// Marks the process as set up.
    pub fn set_ready(&self) {
        self.is_set_up.store(true, Ordering::Relaxed);
    }

    /// True if the process can serve: it is set up and does not drain.
    pub fn is_ready(&self) -> bool {
        self.is_set_up.load(Ordering::Relaxed) && !self.draining.is_cancelled()
    }

    async fn drain(self) {
        tracing::info!(drain_timeout_ms = self.drain_timeout.as_millis(), "draining");
        self.draining.cancel();
        self.tasks.close();
        if tokio::time::timeout(self.drain_timeout, self.tasks.wait()).await.is_err() {
            let tasks = self.tasks.len();
            tracing::warn!(tasks, "the time to drain is over; the remaining tasks are dropped");
        }
        trace::shut_down().await;
        self.stopped.cancel();
        tracing::info!("stopped");
    }
}

impl Shutdown {
    /// Sets the process up, waits for a signal or for a background task that ends too early, and
    /// drains. The exit code tells the two apart. A signal during the set-up ends the process at
    /// once, because it has accepted no request yet.
    pub async fn run(
        mut self,
        set_up: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<ExitCode> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut signalled = pin!(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        tokio::select! {
            result = set_up => result?,
            () = signalled.as_mut() => {
                tracing::info!("stopped before the process was set up");
                return Ok(ExitCode::SUCCESS);
            }
        }
        let exit_code = tokio::select! {
            () = signalled => ExitCode::SUCCESS,
            _ = self.failed_tasks.recv() => ExitCode::FAILURE,
        };
        self.lifecycle.drain().await;
        Ok(exit_code)
    }
}
