//! The faults, and their names in the report.

#![expect(missing_docs, reason = "a comment says only what a name does not")]

use std::fmt;
use std::time::Duration;

use crate::misbehaving::Misbehaviour;
use crate::network::CloseKind;
use crate::topology::{CLIENTS, Route};

/// How much later bytes arrive on a slow route: far more than between two ends of a continent, and
/// far less than any timeout.
pub(super) const DELAY: Duration = Duration::from_millis(300);

/// Something that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL. The process is started again at the end.
    Kill { program: &'static str, index: usize },
    /// SIGSTOP. SIGCONT at the end.
    Pause { program: &'static str, index: usize },
    /// SIGKILL. Redis is started again, empty, at the end.
    KillRedis,
    /// SIGSTOP. SIGCONT at the end.
    PauseRedis,
    /// `CLIENT KILL TYPE pubsub`. It lasts no time.
    DropRedisSubscribers,
    /// Every connection to Redis ends in the middle of the next publication that it carries.
    BreakPublications,
    /// `pg_ctl stop -m immediate`. Postgres is started again, with recovery, at the end.
    StopPostgres,
    /// The network between two processes.
    Network { route: Route, fault: NetworkFault },
    /// All clients lose their connections at the same time and reconnect. It lasts no time.
    DropClients,
    /// Misbehaving clients at every gateway.
    Misbehave(Misbehaviour),
}

impl Fault {
    /// True if a gateway may learn late that a session has ended, or a client that its socket was
    /// closed.
    pub(super) fn delays_ends_of_sessions(&self) -> bool {
        match self {
            Self::Kill { program, .. } | Self::Pause { program, .. } => {
                ["gateway", "auth"].contains(program)
            }
            Self::StopPostgres => true,
            Self::Network { route, .. } => {
                route.caller == CLIENTS || [route.caller, route.callee].contains(&"auth")
            }
            Self::KillRedis
            | Self::PauseRedis
            | Self::DropRedisSubscribers
            | Self::BreakPublications
            | Self::DropClients
            | Self::Misbehave(_) => false,
        }
    }
}

/// What happens to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Nothing is passed on.
    Stall,
    /// Connections end, and new ones are refused.
    Cut(CloseKind),
    /// Everything arrives later.
    Delay,
}

/// Faults that are injected together.
#[derive(Clone, Debug)]
pub struct ScheduledFaults {
    /// Time since the end of the faults before.
    pub after: Duration,
    pub faults: Vec<Fault>,
    /// How long they last.
    pub duration: Duration,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill { program, index } => write!(f, "{program} {} killed, restarted", index + 1),
            Self::Pause { program, index } => write!(f, "{program} {} paused", index + 1),
            Self::KillRedis => f.write_str("Redis killed, restarted empty"),
            Self::PauseRedis => f.write_str("Redis paused"),
            Self::DropRedisSubscribers => f.write_str("Redis drops its subscribers"),
            Self::BreakPublications => f.write_str("Redis connections end within publications"),
            Self::StopPostgres => f.write_str("Postgres stopped immediately, restarted"),
            Self::Network { route, fault } => write!(f, "{route} {fault}"),
            Self::DropClients => f.write_str("all clients disconnected at once"),
            Self::Misbehave(misbehaviour) => write!(f, "{misbehaviour}"),
        }
    }
}

impl fmt::Display for NetworkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall => f.write_str("stalled"),
            Self::Cut(CloseKind::Fin) => f.write_str("cut (FIN)"),
            Self::Cut(CloseKind::Reset) => f.write_str("cut (RST)"),
            Self::Delay => write!(f, "delayed by {} ms", DELAY.as_millis()),
        }
    }
}

impl fmt::Display for ScheduledFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.faults.iter().map(Fault::to_string).collect();
        f.write_str(&names.join("; "))
    }
}
