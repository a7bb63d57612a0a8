//! The kinds of misbehaviour.

use std::fmt;
use std::time::Duration;

/// How clients misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// They subscribe to busy rooms, ask for all events again and again, and read nothing.
    NeverRead,
    /// They send valid frames as fast as the gateway takes them.
    Flood,
    /// They send what is no request, no frame, or too large.
    Garbage,
    /// They open connections and send nothing, or begin requests without an end.
    Idle,
}

impl Misbehaviour {
    /// All kinds.
    pub(crate) const ALL: [Self; 4] = [Self::NeverRead, Self::Flood, Self::Garbage, Self::Idle];

    /// How long it lasts.
    pub(crate) fn duration(self) -> Duration {
        match self {
            // The gateway closes idle connections after 10 s.
            Self::Idle => Duration::from_secs(11),
            _ => Duration::from_secs(3),
        }
    }
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NeverRead => "clients that never read",
            Self::Flood => "clients that flood",
            Self::Garbage => "clients that send garbage",
            Self::Idle => "clients that connect and send nothing",
        })
    }
}
