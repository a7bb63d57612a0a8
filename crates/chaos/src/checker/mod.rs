//! The checker: which promises a recorded history breaks. Pure: history in, verdict out.
//!
//! A subscriber may rightly miss a number (`seq`) if a later change overtook it while the
//! subscriber was away. So completeness is checked by state: the events, applied in order, must
//! give what the store has.

mod check;
mod delivery;
mod recovery;
mod resources;
mod rule;
mod sessions;
mod storage;
mod verdict;

pub use check::check;
pub(crate) use recovery::RECOVERY_TIMEOUT;
pub(crate) use resources::{MAX_SLOPE, MEMORY_ALLOWANCE, SLACK, is_returned};
pub use rule::Rule;
pub use verdict::{Finding, Recovery, Verdict};
