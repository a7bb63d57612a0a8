//! Whether a replica answers its calls. One that does not is ejected: calls go to others first. The
//! ejection grows each time, and one call at a time finds out whether it is over.

use std::time::Duration;

use tokio::time::Instant;

const FIRST_EJECTION: Duration = Duration::from_millis(500);
/// Every further ejection takes twice as long, up to this time.
const LONGEST_EJECTION: Duration = Duration::from_secs(30);

/// How a replica stands among those that a call may go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It answers.
    Healthy,
    /// Its ejection has ended, and no call has tried it since.
    Returning,
    /// It gets only those calls that no other replica can take.
    Ejected,
}

/// What is known of one replica.
#[derive(Debug, Default)]
pub(super) struct ReplicaHealth {
    /// The ejections since the last answer.
    ejections: u32,
    /// `None` if it was not ejected since the last answer.
    ejection: Option<Ejection>,
    answered_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Ejection {
    began: Instant,
    until: Instant,
}

impl ReplicaHealth {
    /// Returns the order in which replicas get a call: the lowest first. A call that may be a trial
    /// goes to a returning replica as if it was healthy. Of those that are ejected, the one that
    /// failed the least comes first.
    pub(super) fn rank(&self, may_try: bool, now: Instant) -> (u8, u32) {
        match self.standing(now) {
            Standing::Healthy => (0, 0),
            Standing::Returning if may_try => (0, 0),
            Standing::Returning => (1, self.ejections),
            Standing::Ejected => (2, self.ejections),
        }
    }

    fn standing(&self, now: Instant) -> Standing {
        match self.ejection {
            None => Standing::Healthy,
            Some(ejection) if ejection.until <= now => Standing::Returning,
            Some(_) => Standing::Ejected,
        }
    }

    /// Makes the next call the one that finds out whether a returning replica answers: for other
    /// calls it is ejected again. False if the replica is not returning, or another call was first.
    pub(super) fn begin_trial(&mut self, now: Instant) -> bool {
        let is_returning = self.standing(now) == Standing::Returning;
        if let Some(ejection) = self.ejection.as_mut().filter(|_| is_returning) {
            ejection.until = now + ejection_time(self.ejections);
        }
        is_returning
    }

    /// Ends the ejection: the replica has answered a call.
    pub(super) fn answered(&mut self, now: Instant) {
        *self = Self { answered_at: Some(now), ..Self::default() };
    }

    /// Ejects the replica, which has failed a call or not answered it in time. It is not ejected if
    /// it has answered another call since this one began: it is slow with this one, and does not
    /// hang. Calls that fail together count once.
    pub(super) fn failed(&mut self, began: Instant, is_trial: bool, now: Instant) {
        let has_answered = self.answered_at.is_some_and(|answered_at| answered_at > began);
        let is_counted =
            self.ejection.is_some_and(|ejection| ejection.until > now || ejection.began >= began);
        if has_answered || is_counted && !is_trial {
            return;
        }
        self.ejections = self.ejections.saturating_add(1);
        let until = now + ejection_time(self.ejections);
        self.ejection = Some(Ejection { began: now, until });
    }
}

fn ejection_time(ejections: u32) -> Duration {
    let factor = 2_u32.saturating_pow(ejections.saturating_sub(1));
    FIRST_EJECTION.saturating_mul(factor).min(LONGEST_EJECTION)
}

#[cfg(test)]
#[path = "tests/replica_health.rs"]
mod tests;
