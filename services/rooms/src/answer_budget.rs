//! The memory of answers that hold all members of rooms, bounded for all requests together.

use std::sync::Arc;
use std::time::Duration;

use parlance_runtime::context::RequestContext;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::error::Error;

/// The most members in all answers that are being read and encoded. A member takes about 100 bytes
/// meanwhile: as a row, as a member, and encoded.
const MAX_MEMBERS: usize = 250_000;
/// The most members in one answer. Beyond [`MAX_MEMBERS`] an answer waits until it is alone.
const MAX_MEMBERS_PER_ANSWER: usize = 1_000_000;
/// An answer up to this size is not counted, so that it does not wait for large ones.
const MAX_MEMBERS_UNCOUNTED: usize = 1_000;
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct AnswerBudget {
    members: Arc<Semaphore>,
}

/// The part of the budget that an answer has. Held until the answer is encoded.
#[must_use]
#[derive(Debug)]
pub(crate) struct Reservation {
    _permit: Option<OwnedSemaphorePermit>,
}

impl AnswerBudget {
    pub(crate) fn new() -> Self {
        Self { members: Arc::new(Semaphore::new(MAX_MEMBERS)) }
    }

    /// Reserves the memory for an answer with so many members. Waits for other answers, in order of
    /// arrival, and fails if that takes too long. No connection may be held meanwhile.
    pub(crate) async fn reserve(&self, members: usize) -> Result<Reservation, Error> {
        if members <= MAX_MEMBERS_UNCOUNTED {
            return Ok(Reservation { _permit: None });
        }
        if members > MAX_MEMBERS_PER_ANSWER {
            return Err(Error::AnswerTooLarge { members });
        }
        let permits = u32::try_from(members.min(MAX_MEMBERS)).unwrap_or(u32::MAX);
        let acquire = self.members.clone().acquire_many_owned(permits);
        let acquired = timeout(RequestContext::limit_nested_call(MAX_WAIT), acquire).await;
        // The semaphore is never closed.
        let permit = acquired.ok().and_then(Result::ok).ok_or(Error::TooManyLargeAnswers)?;
        Ok(Reservation { _permit: Some(permit) })
    }
}

#[cfg(test)]
#[path = "tests/answer_budget.rs"]
mod tests;
