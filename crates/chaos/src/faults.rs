//! The faults: what can be done to a running Parlance, and undone.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_core::Clock;
use parlance_devstack::{Process, Stack};
use rand::Rng;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::history::FaultRecord;
use crate::plan::{REPLICAS, Scheduled};

/// The parts of Parlance, by the names of their programs.
pub(crate) const PARTS: [&str; 5] = ["gateway", "auth", "contacts", "rooms", "messaging"];
const RESTART_DEADLINE: Duration = Duration::from_secs(60);
const REDIS_DEADLINE: Duration = Duration::from_secs(5);

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL; started again at the end.
    Kill { part: &'static str, index: usize },
    /// SIGSTOP; SIGCONT at the end.
    Pause { part: &'static str, index: usize },
    /// SIGKILL; started again, empty, at the end.
    KillRedis,
    /// SIGSTOP; SIGCONT at the end.
    PauseRedis,
    /// `CLIENT KILL TYPE pubsub`: over at once.
    CutSubscribersOfRedis,
    /// What `pg_ctl stop -m immediate` does; started again, with recovery, at the end.
    StopPostgres,
}

impl Fault {
    /// Every kind, at replicas taken by chance.
    pub(crate) fn one_of_each(rng: &mut StdRng) -> Vec<Self> {
        let mut faults =
            vec![Self::KillRedis, Self::PauseRedis, Self::CutSubscribersOfRedis, Self::StopPostgres];
        for part in PARTS {
            faults.push(Self::Kill { part, index: rng.random_range(0..REPLICAS) });
        }
        for part in ["gateway", "rooms", "messaging"] {
            faults.push(Self::Pause { part, index: rng.random_range(0..REPLICAS) });
        }
        faults
    }

    /// How long it lasts, at least.
    pub(crate) fn duration(self, rng: &mut StdRng) -> Duration {
        match self {
            Self::CutSubscribersOfRedis => Duration::ZERO,
            Self::Kill { .. } => Duration::from_millis(rng.random_range(200..1_500)),
            _ => Duration::from_millis(rng.random_range(1_000..4_000)),
        }
    }

    async fn begin(self, stack: &Stack) -> anyhow::Result<()> {
        match self {
            Self::Kill { .. } | Self::KillRedis => self.process(stack).kill().await,
            Self::Pause { .. } | Self::PauseRedis => self.process(stack).pause(),
            Self::CutSubscribersOfRedis => cut_subscribers(stack.redis().url()).await,
            Self::StopPostgres => stack.postgres().stop_immediately().await,
        }
    }

    async fn end(self, stack: &Stack) -> anyhow::Result<()> {
        match self {
            Self::Kill { .. } | Self::KillRedis | Self::StopPostgres => {
                self.process(stack).restart(RESTART_DEADLINE).await
            }
            Self::Pause { .. } | Self::PauseRedis => self.process(stack).resume(),
            Self::CutSubscribersOfRedis => Ok(()),
        }
    }

    fn process(self, stack: &Stack) -> &Process {
        match self {
            Self::Kill { part, index } | Self::Pause { part, index } => stack.process(part, index),
            Self::KillRedis | Self::PauseRedis | Self::CutSubscribersOfRedis => stack.redis().process(),
            Self::StopPostgres => stack.postgres().process(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { part, index } => write!(f, "{part} {} killed and restarted", index + 1),
            Self::Pause { part, index } => write!(f, "{part} {} paused", index + 1),
            Self::KillRedis => f.write_str("Redis killed and restarted empty"),
            Self::PauseRedis => f.write_str("Redis paused"),
            Self::CutSubscribersOfRedis => f.write_str("Redis cuts its subscribers"),
            Self::StopPostgres => f.write_str("Postgres stopped immediately and restarted"),
        }
    }
}

/// Injects a fault and ends it.
pub(crate) async fn inject(
    stack: &Stack,
    scheduled: &Scheduled,
    clock: &Clock,
) -> anyhow::Result<FaultRecord> {
    let fault = scheduled.fault;
    let begun_at = clock.now().as_micros();
    fault.begin(stack).await.with_context(|| format!("cannot begin: {fault}"))?;
    sleep(scheduled.lasts).await;
    fault.end(stack).await.with_context(|| format!("cannot end: {fault}"))?;
    Ok(FaultRecord {
        name: fault.to_string(),
        begun_at,
        ended_at: clock.now().as_micros(),
        observed_until: i64::MAX,
    })
}

/// Redis understands commands as lines; no client library is needed for two of them.
async fn cut_subscribers(url: &str) -> anyhow::Result<()> {
    let address = url.strip_prefix("redis://default:").and_then(|rest| rest.split_once('@'));
    let (password, address) = address.context("the URL of Redis has another form")?;
    let answer = timeout(REDIS_DEADLINE, async {
        let mut stream = TcpStream::connect(address).await?;
        let commands = format!("AUTH {password}\r\nCLIENT KILL TYPE pubsub\r\nQUIT\r\n");
        stream.write_all(commands.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    });
    let answer = answer.await.context("Redis did not answer")??;
    ensure!(answer.starts_with("+OK\r\n:"), "Redis answered {answer:?}");
    Ok(())
}
