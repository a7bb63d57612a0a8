//! Whether bad clients were answered as promised. Who was there knows; here it is only counted.

use super::{Rule, Verdict};
use crate::history::History;

pub(super) fn judge(history: &History, verdict: &mut Verdict) {
    for fault in &history.faults {
        for breach in &fault.breaches {
            verdict.report(Rule::BadClients, || format!("{}: {breach}", fault.name));
        }
    }
}
