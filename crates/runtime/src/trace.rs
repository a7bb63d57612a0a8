//! The place of a request in a trace that may begin and go on in other programs
//! ([W3C Trace Context](https://www.w3.org/TR/trace-context/)). Nothing is recorded here: the trace's id stands on the log lines of
//! the request, and what was received is passed on as it is.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const LENGTH: usize = 55;

/// The trace of a request. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Trace {
    id: u128,
    parent_id: u64,
    flags: u8,
    /// What other programs have to say about the trace.
    state: Option<HeaderValue>,
}

impl Trace {
    /// A trace that begins here, and that nobody asked to record.
    pub fn new() -> Self {
        // Zero means that there is none.
        Self {
            id: rand::random::<u128>().max(1),
            parent_id: rand::random::<u64>().max(1),
            flags: 0,
            state: None,
        }
    }

    /// The trace that the headers name, or a new one.
    pub fn continued(headers: &HeaderMap) -> Self {
        let parent = headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
        match parent {
            Some((id, parent_id, flags)) => {
                Self { id, parent_id, flags, state: headers.get(TRACESTATE).cloned() }
            }
            None => Self::new(),
        }
    }

    /// Writes it into the headers of a request to another process.
    pub fn propagate(&self, headers: &mut HeaderMap) {
        let parent = format!("00-{:032x}-{:016x}-{:02x}", self.id, self.parent_id, self.flags);
        if let Ok(parent) = HeaderValue::try_from(parent) {
            headers.insert(TRACEPARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

/// The id of the trace, as it stands in headers and on log lines.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.id)
    }
}

/// Later versions may add something behind what version 0 has.
fn parse(text: &str) -> Option<(u128, u64, u8)> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let (version, known) = known.split_once('-')?;
    let (id, known) = known.split_once('-')?;
    let (parent_id, flags) = known.split_once('-')?;
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_well_formed = is_hex(version, 2) && is_hex(id, 32) && is_hex(parent_id, 16) && is_hex(flags, 2);
    let is_known_version = if version == "00" {
        rest.is_empty()
    } else {
        version != "ff" && (rest.is_empty() || rest.starts_with('-'))
    };
    if !is_well_formed || !is_known_version {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|&id| id != 0)?;
    let parent_id = u64::from_str_radix(parent_id, 16).ok().filter(|&id| id != 0)?;
    // Of the flags, only those that version 0 knows are passed on.
    Some((id, parent_id, u8::from_str_radix(flags, 16).ok()? & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(parent: &str) -> String {
        let received = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::try_from(parent).unwrap())]);
        let mut sent = HeaderMap::new();
        Trace::continued(&received).propagate(&mut sent);
        sent[TRACEPARENT].to_str().unwrap().to_owned()
    }

    #[test]
    fn a_trace_goes_on_with_its_state() {
        let mut received = HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(PARENT))]);
        received.insert(TRACESTATE, HeaderValue::from_static("vendor=1"));
        let trace = Trace::continued(&received);
        assert_eq!(trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        let mut sent = HeaderMap::new();
        trace.propagate(&mut sent);
        assert_eq!(sent, received);
    }

    #[test]
    fn a_later_version_is_understood_as_far_as_it_is_known() {
        let later = PARENT.replacen("00-", "cc-", 1) + "-what-will-be";
        assert_eq!(passed_on(&later), PARENT);
    }

    #[test]
    fn what_is_no_trace_begins_a_new_one_that_is_one() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-01";
        let without_parent = "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01";
        for bad in [
            "",
            "x",
            &PARENT[1..],
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            zeros,
            without_parent,
        ] {
            let sent = passed_on(bad);
            assert_ne!(sent[3..35], PARENT[3..35], "{bad}");
            assert_eq!(passed_on(&sent), sent);
        }
        assert_ne!(passed_on(&format!("{PARENT}-more")), PARENT);
    }
}
