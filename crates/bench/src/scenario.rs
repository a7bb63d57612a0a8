//! The names of the scenarios.

use clap::ValueEnum;

/// A scenario. They run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Durable sends to one room.
    HotRoom,
    /// Durable sends to many rooms.
    ManyRooms,
    /// Deliveries to very many subscribers of one room.
    FanOut,
    /// Latency of messages at a steady rate.
    Latency,
    /// Requests of a client that starts.
    Reads,
    /// Memory of open connections.
    Idle,
    /// All clients drop and come back at once.
    ReconnectStorm,
    /// The same calls before and after the tables have grown. Runs only when it is named.
    Growth,
    /// Log-ins, and messages during a flood of them.
    Login,
}

/// What the hash of a password costs in a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PasswordCost {
    /// As little as bcrypt allows, so that thousands of accounts can be created.
    Minimal,
    /// The default of the services.
    Default,
}

impl PasswordCost {
    /// Returns the folder of the stack's logs.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Minimal => "minimal-password-cost",
            Self::Default => "default-password-cost",
        }
    }
}

impl Scenario {
    /// Returns the name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HotRoom => "hot room",
            Self::ManyRooms => "many rooms",
            Self::FanOut => "fan-out",
            Self::Latency => "latency",
            Self::Reads => "reads",
            Self::Idle => "idle",
            Self::ReconnectStorm => "reconnect storm",
            Self::Growth => "growth",
            Self::Login => "login",
        }
    }

    /// Returns what passwords cost in the stack of the scenario.
    pub(crate) fn password_cost(self) -> PasswordCost {
        if self == Self::Login { PasswordCost::Default } else { PasswordCost::Minimal }
    }
}
