//! One child process: how it is started, watched, hurt and ended.

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

use crate::probe::Probe;
use crate::user::User;
use crate::{programs, spawner};

const POLL_PAUSE: Duration = Duration::from_millis(20);
const TAIL_LINES: usize = 15;

/// How a process is started. It can be started again from the same.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    /// What people call it: `rooms`, `gateway 2`.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) environment: Vec<(String, String)>,
    /// Whether it also sees the environment of this process.
    pub(crate) inherits_environment: bool,
    /// Where it works.
    pub(crate) folder: PathBuf,
    /// Whose place it takes, when this process is root.
    pub(crate) user: Option<User>,
    /// What it reads on its standard input: settings that must not be seen in the list of
    /// processes.
    pub(crate) input: Vec<u8>,
    /// Where its output is appended to.
    pub(crate) log: PathBuf,
    /// Ends it without delay; also sent by the kernel when this process dies.
    pub(crate) death_signal: Signal,
    pub(crate) probe: Probe,
}

/// A process that may run, may have ended, and may be started again. It ends when this value is
/// dropped or when the process that started it ends, even by SIGKILL.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    /// Beside the environment of `spec`, and winning over it.
    more_environment: Mutex<BTreeMap<String, String>>,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Starts it with an empty log.
    pub(crate) async fn start(spec: Spec) -> anyhow::Result<Self> {
        let folder = spec.log.parent().unwrap_or(&spec.folder);
        fs::create_dir_all(folder)
            .and_then(|()| File::create(&spec.log))
            .with_context(|| format!("cannot write {}", spec.log.display()))?;
        let process = Self { spec, more_environment: Mutex::default(), child: Mutex::new(None) };
        process.spawn().await?;
        Ok(process)
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.spec.log
    }

    /// The process id, `None` when it does not run.
    pub fn id(&self) -> Option<u32> {
        self.exit_status().is_none().then(|| self.child().as_ref().map(Child::id)).flatten()
    }

    /// How it ended, `None` while it runs.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child().as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Asks it to end in its own time (SIGTERM), without waiting for that.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)
    }

    /// Ends it at once (SIGKILL), and returns when it is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.wait(Duration::from_secs(10)).await.map(drop)
    }

    /// Stops it in its tracks (SIGSTOP): it holds its connections and answers nothing.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts it again after it has ended, with the same ports and settings but for those of
    /// [`set_environment`](Self::set_environment), and returns when it is ready.
    pub async fn restart(&self, deadline: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            self.spawn().await?;
            match self.wait_until_ready(deadline.saturating_sub(begin.elapsed())).await {
                Ok(()) => return Ok(()),
                // What it left behind when it was killed, such as its port or its shared memory,
                // may take a moment to go.
                Err(_) if self.exit_status().is_some() && begin.elapsed() < deadline => {
                    sleep(POLL_PAUSE * 10).await
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Starts it again after it has ended, with the same ports and settings, without waiting until
    /// it is ready.
    pub async fn start_again(&self) -> anyhow::Result<()> {
        self.spawn().await
    }

    /// Gives it an environment variable, which it sees from its next start on.
    pub fn set_environment(&self, name: &str, value: &str) {
        self.more_environment().insert(name.to_owned(), value.to_owned());
    }

    /// Whether it can do its work.
    pub async fn is_ready(&self) -> bool {
        self.id().is_some() && self.spec.probe.check().await.is_ok()
    }

    /// Waits until it has ended.
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
            sleep(POLL_PAUSE).await;
        }
    }

    /// Waits until it can do its work.
    pub async fn wait_until_ready(&self, deadline: Duration) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.exit_status() {
                bail!("{} ended before it was ready ({status}){}", self.name(), self.last_lines());
            }
            let Err(error) = self.spec.probe.check().await else {
                return Ok(());
            };
            ensure!(
                begin.elapsed() < deadline,
                "{} was not ready within {} s ({error:#}){}",
                self.name(),
                deadline.as_secs_f32(),
                self.last_lines()
            );
            sleep(POLL_PAUSE).await;
        }
    }

    pub(crate) fn terminate_if_running(&self) {
        // It may end just now by itself, which is as well.
        let _ = self.terminate();
    }

    /// Waits until it has ended, and no longer than that.
    pub(crate) async fn wait_or_kill(&self, deadline: Duration) -> anyhow::Result<()> {
        if self.wait(deadline).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let mut child = self.child();
        let Some(running) = child.as_mut().and_then(unless_ended) else {
            bail!("{} does not run", self.name());
        };
        // It has not been waited for, so its id cannot belong to another process by now.
        kill_process(Pid::from_child(running), signal)
            .with_context(|| format!("cannot signal {}", self.name()))
    }

    /// The end of its log, to be appended to a sentence.
    pub(crate) fn last_lines(&self) -> String {
        let log = fs::read(&self.spec.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n  ");
        format!("; the end of {}:\n  {tail}", self.spec.log.display())
    }

    async fn spawn(&self) -> anyhow::Result<()> {
        ensure!(self.id().is_none(), "{} runs already", self.name());
        let mut command = self.spec.command()?;
        command.envs(self.more_environment().iter());
        let child = spawner::spawn(command, self.spec.input.clone()).await.with_context(|| {
            format!("cannot start {} ({})", self.name(), self.spec.program.display())
        })?;
        *self.child() = Some(child);
        Ok(())
    }

    fn more_environment(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.more_environment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spec {
    /// A program without arguments that sees nothing of the environment, runs as this process does,
    /// and is killed outright.
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
            probe: Probe::None,
        }
    }

    fn command(&self) -> anyhow::Result<Command> {
        let setpriv = programs::setpriv()?;
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;

        // In a session of its own, as under a service manager. Ctrl-C at the terminal is for the
        // parent alone, which ends its children in order; and a kernel that shares the cores out to
        // sessions sees as many as there are parts.
        let mut command = Command::new(programs::setsid()?);
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
        let Some(child) = child.as_mut().and_then(unless_ended) else {
            return;
        };
        let id = Pid::from_child(child);
        // It may have been paused, and would not hear anything but SIGKILL.
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

fn unless_ended(child: &mut Child) -> Option<&mut Child> {
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
