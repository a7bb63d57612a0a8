//! One child process: starting, checking, pausing, killing and restarting it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::readiness::Readiness;
use crate::stopped::wait_until_stopped;
use crate::user::User;
use crate::{programs, spawn};

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many lines of the log an error message shows.
const LOG_LINES: usize = 15;

/// How to start a process, once or again.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// Its name in messages: `rooms 1`, `gateway 2`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    /// True if it also has the environment of this process.
    pub(crate) inherits_environment: bool,
    /// Its working directory.
    pub(crate) folder: PathBuf,
    /// The user it runs as; `None` for the user of this process.
    pub(crate) user: Option<User>,
    /// Its standard input: settings that must not be seen in the list of processes.
    pub(crate) input: Vec<u8>,
    /// The file that its output is appended to.
    pub(crate) log: PathBuf,
    /// The signal that ends it without delay. The kernel sends it when this process ends.
    pub(crate) death_signal: Signal,
    pub(crate) readiness: Readiness,
}

/// A process that can be restarted. It ends when this value is dropped and when the parent process
/// ends, even by SIGKILL.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    /// Variables that override those of `spec`.
    overrides: Mutex<BTreeMap<String, String>>,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts a process with an empty log.
    pub(crate) async fn start(spec: Spec) -> anyhow::Result<Self> {
        let folder = spec.log.parent().unwrap_or(&spec.folder);
        fs::create_dir_all(folder)
            .and_then(|()| File::create(&spec.log))
            .with_context(|| format!("cannot write {}", spec.log.display()))?;
        let process = Self { spec, overrides: Mutex::default(), child: Mutex::new(None) };
        process.spawn().await?;
        Ok(process)
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// The file with its output.
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// The process id; `None` if it does not run.
    pub fn id(&self) -> Option<u32> {
        self.exit_status().is_none().then(|| self.child().as_ref().map(Child::id)).flatten()
    }

    /// The exit status; `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Sends SIGTERM, and does not wait for the end.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL and waits for the end.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Sends SIGSTOP, and waits until all threads have stopped: the process keeps its connections
    /// and answers nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)?;
        let id = self.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        wait_until_stopped(id.as_slice()).with_context(|| format!("cannot pause {}", self.name()))
    }

    /// Sends SIGCONT, after [`pause`](Self::pause).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts an ended process again, with the same ports and settings, and waits until it is
    /// ready. [`set_environment`](Self::set_environment) changes settings.
    pub async fn restart(&self, deadline: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.spawn().await?;
            match self.wait_until_ready(deadline.saturating_sub(begin.elapsed())).await {
                Ok(()) => return Ok(()),
                // The kernel may need a moment to release a port or the shared memory of a killed
                // process.
                Err(_) if self.exit_status().is_some() && begin.elapsed() < deadline => {
                    sleep(POLL_INTERVAL * 10).await
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts an ended process again and does not wait until it is ready.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.spawn().await
    }

    /// Sets an environment variable for the next start.
    pub fn set_environment(&self, name: &str, value: &str) {
        self.overrides().insert(name.to_owned(), value.to_owned());
    }

    /// True if it runs and can do its work.
    pub async fn is_ready(&self) -> bool {
        self.id().is_some() && self.spec.readiness.check().await.is_ok()
    }

    /// Waits for the end, at most until the deadline.
    pub async fn wait(&self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                return Ok(status);
            }
            ensure!(
                begin.elapsed() < deadline,
                "{} has not ended within {} s{}",
                self.name(),
                deadline.as_secs_f32(),
                self.last_lines()
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits until it can do its work, at most until the deadline.
    pub async fn wait_until_ready(&self, deadline: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                bail!("{} ended before it was ready ({status}){}", self.name(), self.last_lines());
            }
            let Err(error) = self.spec.readiness.check().await else {
                return Ok(());
            };
            ensure!(
                begin.elapsed() < deadline,
                "{} was not ready within {} s ({error:#}){}",
                self.name(),
                deadline.as_secs_f32(),
                self.last_lines()
            );
            sleep(POLL_INTERVAL).await;
        }
    }

    pub(crate) fn terminate_if_running(&self) {
        // An error means that it has ended meanwhile.
        let _ = self.terminate();
    }

    /// Waits for the end until the deadline, then kills it.
    pub(crate) async fn wait_or_kill(&self, deadline: Duration) -> anyhow::Result<()> {
        if self.wait(deadline).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child();
        let Some(running) = child.as_mut().and_then(if_running) else {
            bail!("{} does not run", self.name());
        };
        // The child has not been reaped, so no other process has its id.
        kill_process(Pid::from_child(running), signal)
            .with_context(|| format!("cannot signal {}", self.name()))
    }

    /// The last lines of its log, for the end of an error message.
    pub(crate) fn last_lines(&self) -> String {
        let log = fs::read(&self.spec.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n  ");
        format!("; the end of {}:\n  {last}", self.spec.log.display())
    }

    async fn spawn(&self) -> anyhow::Result<()> {
        ensure!(self.id().is_none(), "{} already runs", self.name());
        let mut command = self.spec.command()?;
        command.envs(self.overrides().iter());
        let child = spawn::spawn(command, self.spec.input.clone()).await.with_context(|| {
            format!("cannot start {} ({})", self.name(), self.spec.program.display())
        })?;
        *self.child() = Some(child);
        Ok(())
    }

    fn overrides(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.overrides.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spec {
    /// A program without arguments and without the environment of this process, run as the same
    /// user and ended with SIGKILL.
    pub(crate) fn new(
        name: impl Into<String>,
        program: PathBuf,
        folder: &Path,
        log: PathBuf,
    ) -> Self {
        Self {
            name: name.into(),
            program,
            arguments: Vec::new(),
            environment: Vec::new(),
            inherits_environment: false,
            folder: folder.to_owned(),
            user: None,
            input: Vec::new(),
            log,
            death_signal: Signal::KILL,
            readiness: Readiness::Unchecked,
        }
    }

    fn command(&self) -> anyhow::Result<Command> {
        let setpriv = programs::find_in_package("setpriv", "util-linux")?;
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;

        // A session of its own, as under a service manager: Ctrl-C at the terminal reaches only
        // this process, which ends its children in order. Autogroup scheduling, see sched(7), also
        // gives each session its own share of the cores.
        let mut command = Command::new(programs::find_in_package("setsid", "util-linux")?);
        command.arg(&setpriv).arg("--pdeathsig").arg(signal_name(self.death_signal));
        if let Some(user) = &self.user {
            command.args(user.setpriv_arguments(&setpriv, &self.folder));
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        if !self.inherits_environment {
            command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder);
        command.stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let death_signal = self.spec.death_signal;
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(child) = child.as_mut().and_then(if_running) else {
            return;
        };
        let id = Pid::from_child(child);
        // A paused process handles only SIGKILL and SIGCONT.
        let _ = kill_process(id, Signal::CONT);
        let _ = kill_process(id, death_signal);
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(5) && matches!(child.try_wait(), Ok(None)) {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn if_running(child: &mut Child) -> Option<&mut Child> {
    matches!(child.try_wait(), Ok(None)).then_some(child)
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::QUIT => "QUIT",
        Signal::INT => "INT",
        Signal::TERM => "TERM",
        _ => "KILL",
    }
}
