//! The metrics of all processes.

use std::collections::BTreeSet;
use std::time::Duration;

use parlance_devstack::Stack;
use serde_json::json;

use crate::support::{RECOVERY, eventually, make_room, on_own_stack, people, stack};

/// The metrics in the table of the operations guide, with their Prometheus names, without units.
fn documented() -> BTreeSet<String> {
    let guide = include_str!("../../docs/operations/metrics.md");
    let section = guide.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap();
    let names = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    names.map(|name| name.replace('.', "_")).collect()
}

/// Shown only where issuers are configured.
const OF_ISSUERS: [&str; 1] = ["parlance_auth_key_fetches"];

/// The metrics of a process, without units and without those of the Prometheus client itself.
fn shown(metrics: &str) -> impl Iterator<Item = String> {
    let families =
        metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    families
        .filter(|name| !name.starts_with("process_") && *name != "target_info")
        .map(|name| name.trim_end_matches("_total").trim_end_matches("_seconds").to_owned())
}

#[tokio::test]
async fn the_operations_guide_lists_exactly_the_metrics() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.subscribed(room).await;
    anna.send_message(room, "Hello").await;
    bens.next().await;

    let documented = documented();
    let all_are_shown = async || {
        let mut seen = BTreeSet::new();
        for part in ["auth", "contacts", "rooms", "messaging", "gateway"] {
            for replica in [0, 1] {
                seen.extend(shown(&stack.metrics(part, replica).await.unwrap()));
            }
        }
        let unknown: Vec<_> = seen.difference(&documented).collect();
        assert!(unknown.is_empty(), "not in the guide: {unknown:?}");
        let mut missing: Vec<_> = documented.difference(&seen).collect();
        missing.retain(|name| !OF_ISSUERS.contains(&name.as_str()));
        if !missing.is_empty() {
            eprintln!("not shown yet: {missing:?}");
        }
        missing.is_empty()
    };
    // Some metrics are recorded after the answer.
    eventually(Duration::from_secs(10), "everything in the guide is shown", all_are_shown).await;
}

/// The number of sends with this result and this reason.
async fn sends(stack: &Stack, outcome: &str, reason: &str) -> f64 {
    let metrics = stack.metrics("messaging", 0).await.unwrap();
    let labels = [format!("outcome=\"{outcome}\""), format!("error_type=\"{reason}\"")];
    let is_meant = |line: &&str| {
        line.starts_with("parlance_messaging_messages_total{")
            && labels.iter().all(|label| line.contains(label.as_str()))
    };
    let counts = metrics.lines().filter(is_meant).map(|line| line.rsplit_once(' ').unwrap().1);
    counts.map(|count| count.parse::<f64>().unwrap()).sum()
}

#[tokio::test]
async fn failed_sends_are_counted_by_reason() {
    on_own_stack(Stack::builder(), async |stack| {
        let [anna, ben] = people(stack).await;
        let room = make_room(&anna, &[]).await;
        let path = format!("/v1/messages/rooms/{room}");
        let content = json!({"content": "Hello"});
        // Probe messages may fail while the stack starts.
        let before = sends(stack, "failed", "unavailable").await;
        ben.post(&path, &content).await.refused(403, "not_a_member");
        let refused = async || sends(stack, "refused", "not_a_member").await == 1.0;
        eventually(RECOVERY, "the refusal is counted", refused).await;
        assert_eq!(sends(stack, "failed", "unavailable").await, before);

        stack.postgres().process().kill().await.unwrap();
        anna.post(&path, &content).await.refused(503, "unavailable");
        let failed = async || sends(stack, "failed", "unavailable").await > before;
        eventually(RECOVERY, "the failure is counted", failed).await;
    })
    .await;
}
