//! What a proxy does with the bytes and connections that it gets.

use std::time::Duration;

/// What a proxy does until further notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Passes everything on at once.
    Pass,
    /// Passes everything on in order, this much later.
    Delay(Duration),
    /// Passes nothing on and refuses nothing.
    Stall,
    /// Resets connections as soon as they are made.
    Refuse,
    /// Ends a connection in the middle of a `PUBLISH` command that it carries.
    BreakPublications,
}

/// How a proxy ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseKind {
    /// With a FIN, as a process that has finished.
    Fin,
    /// With an RST, as a machine that does not know the connection.
    Reset,
}

/// What the connections of a proxy obey. The proxy sends it, each connection watches it.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) flow: Flow,
    /// Connections that were accepted in an earlier generation end.
    pub(super) generation: u64,
    /// How they end.
    pub(super) close: CloseKind,
}
