//! How long an account waits after failed log-ins, and the tries of one account that are hashed at
//! the same time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use opentelemetry::metrics::Counter;
use opentelemetry::{KeyValue, global};
use parlance_core::Timestamp;
use parlance_runtime::Full;

use crate::account::AccountKey;
use crate::account_turns::{AccountTurn, AccountTurns};
use crate::client_network::ClientNetwork;
use crate::error::Error;

/// So many failures in a row are free. After each further one, and after the last of these, the
/// next try has to wait.
pub(crate) const FREE_FAILURES: i32 = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// After how long without a failure those before are forgotten. Longer than the longest wait.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// Failed log-ins in a row: of an account, or of one network at an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    pub(crate) count: i32,
    pub(crate) last_failed_at: Timestamp,
    /// The time since the last failure, by the clock of the database.
    pub(crate) age: Duration,
}

impl Failures {
    /// True if tries have to wait after the last failure, or had to.
    pub(crate) fn is_limiting(&self) -> bool {
        self.count >= FREE_FAILURES && self.age < FORGET_AFTER
    }

    /// How long after the last failure the next try is due.
    pub(crate) fn wait(&self) -> Duration {
        let doublings = self.count.saturating_sub(FREE_FAILURES).clamp(0, 6).cast_unsigned();
        (FIRST_WAIT * 2_u32.pow(doublings)).min(LONGEST_WAIT)
    }

    /// How long the next try still has to wait, if it has to.
    pub(crate) fn remaining_wait(&self) -> Option<Duration> {
        if !self.is_limiting() {
            return None;
        }
        self.wait().checked_sub(self.age).filter(|wait| !wait.is_zero())
    }
}

/// Why a log-in failed, for operators. Clients are told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureReason {
    UnknownUser,
    Inactive,
    NoPassword,
    WrongPassword,
}

impl FailureReason {
    const ALL: [Self; 4] =
        [Self::UnknownUser, Self::Inactive, Self::NoPassword, Self::WrongPassword];

    /// The label of metrics and of the audit log.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::Inactive => "inactive",
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
        }
    }

    fn label(self) -> KeyValue {
        KeyValue::new("reason", self.name())
    }
}

/// The tries to log in that are in progress, and the counts of those that failed.
pub(crate) struct Guessing {
    turns: AccountTurns,
    failed: Counter<u64>,
    refused: Counter<u64>,
}

impl Guessing {
    pub(crate) fn new() -> Self {
        let meter = global::meter("parlance");
        let failed = meter
            .u64_counter("parlance.auth.log_ins.failed")
            .with_description("Failed log-ins, and changes of a password with a wrong one.")
            .build();
        for reason in FailureReason::ALL {
            failed.add(0, &[reason.label()]);
        }
        let refused = meter
            .u64_counter("parlance.auth.log_ins.refused")
            .with_description("Log-ins refused without a hash, because of failures before them.")
            .build();
        let guessing = Self { turns: AccountTurns::new(), failed, refused };
        for reason in ["wait", "turn"] {
            guessing.refused.add(0, &[KeyValue::new("reason", reason)]);
        }
        guessing
    }

    /// Waits until few enough other tries of the account are in progress at this replica.
    pub(crate) async fn turn(
        &self,
        account: AccountKey,
        client: ClientNetwork,
    ) -> Result<AccountTurn, Error> {
        self.turns.turn(account, client).await.map_err(|_: Full| self.refuse("turn", FIRST_WAIT))
    }

    /// Returns the error for a try that comes too early, and counts it.
    pub(crate) fn refuse_for(&self, wait: Duration) -> Error {
        self.refuse("wait", wait)
    }

    /// Counts a failed try.
    pub(crate) fn count_failure(&self, reason: FailureReason) {
        self.failed.add(1, &[reason.label()]);
    }

    fn refuse(&self, reason: &'static str, wait: Duration) -> Error {
        self.refused.add(1, &[KeyValue::new("reason", reason)]);
        Error::TooManyFailures { retry_after: wait }
    }
}

/// The number of accounts that somebody seems to guess at, over all replicas. Exported as a gauge.
pub(crate) struct AccountsUnderAttack(Arc<AtomicI64>);

impl AccountsUnderAttack {
    /// More failures in a row than most users make who look for the right password.
    pub(crate) const MIN_FAILURES: i32 = 10;

    /// Returns the number, which is exported from now on.
    pub(crate) fn observed() -> Self {
        let number = Arc::new(AtomicI64::new(0));
        let exported = number.clone();
        global::meter("parlance")
            .i64_observable_gauge("parlance.auth.accounts_under_attack")
            .with_description(
                "Accounts with 10 failed log-ins in a row, the last within five minutes.",
            )
            .with_callback(move |gauge| gauge.observe(exported.load(Ordering::Relaxed), &[]))
            .build();
        Self(number)
    }

    pub(crate) fn set(&self, number: i64) {
        self.0.store(number, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "tests/guessing.rs"]
mod tests;
