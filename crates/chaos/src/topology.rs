//! The processes of a run, and the routes between them.

use std::fmt;

use parlance_devstack::Arrow;

/// Replicas of each program.
pub(crate) const REPLICAS: usize = 2;
/// The programs of Parlance.
pub(crate) const PROGRAMS: [&str; 5] = ["gateway", "auth", "contacts", "rooms", "messaging"];
/// The caller of the gateways.
pub(crate) const CLIENTS: &str = "clients";

/// The route from one process to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The program that calls.
    pub caller: &'static str,
    /// `None` if all replicas of the caller share the route.
    pub caller_index: Option<usize>,
    /// The program that is called.
    pub callee: &'static str,
    /// `None` if there is only one replica.
    pub callee_index: Option<usize>,
}

impl Route {
    /// The route from one replica to another, each given by its program and index.
    pub(crate) fn between(
        (caller, caller_index): (&'static str, usize),
        (callee, callee_index): (&'static str, usize),
        owners_agree: bool,
    ) -> Self {
        let is_shared =
            caller == CLIENTS || (owners_agree && (caller, callee) == ("gateway", "messaging"));
        let is_single = ["postgres", "redis"].contains(&callee);
        Self {
            caller,
            caller_index: (!is_shared).then_some(caller_index),
            callee,
            callee_index: (!is_single).then_some(callee_index),
        }
    }

    /// The route of one connection between two processes.
    pub fn from_arrow(arrow: &Arrow, owners_agree: bool) -> Self {
        let caller = (arrow.caller, arrow.caller_index);
        Self::between(caller, (arrow.callee, arrow.callee_index), owners_agree)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Reports count replicas from 1.
        let number =
            |index: Option<usize>| index.map_or(String::new(), |it| format!(" {}", it + 1));
        let (caller, callee) = (number(self.caller_index), number(self.callee_index));
        write!(f, "{}{caller} → {}{callee}", self.caller, self.callee)
    }
}
