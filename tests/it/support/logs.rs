//! What the processes of a stack log.

use parlance_devstack::{Stack, StackBuilder};

const PARTS: [&str; 5] = ["gateway", "auth", "contacts", "rooms", "messaging"];
const FILTER: &str = "debug,parlance=trace,h2=info,hyper=info,tower=info,sqlx=debug";

/// Lets every process of the stack log everything that it can.
pub(crate) fn log_everything(builder: StackBuilder) -> StackBuilder {
    PARTS.iter().fold(builder, |builder, part| builder.environment(part, "LOG_FILTER", FILTER))
}

/// Fails if a log has one of these secrets, each with its description. Returns the number of audit
/// lines.
pub(crate) fn assert_not_logged(stack: &Stack, secrets: &[(&str, String)]) -> usize {
    let mut audited = 0;
    for process in stack.processes() {
        let log = std::fs::read(process.log()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        audited += log.matches("audit").count();
        for (what, secret) in secrets {
            assert!(secret.len() >= 12, "{what}");
            assert!(!log.contains(secret.as_str()), "{what} in the log of {}", process.name());
        }
    }
    audited
}
