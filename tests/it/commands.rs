//! Commands that an operator runs next to the serving processes.

use parlance_testkit::fresh_database;
use serde_json::Value;

use crate::support::migrate;

#[tokio::test]
async fn migrate_logs_the_applied_migrations() {
    let database = fresh_database().await.unwrap();
    for service in ["auth", "contacts", "rooms", "messaging"] {
        let pending = migrate(service, &database, &["--status"]).await;
        assert!(
            pending.lines().count() > 0 && pending.lines().all(|line| line.contains("pending")),
            "{pending}"
        );
        for applied in [pending.lines().count(), 0] {
            let log = migrate(service, &database, &[]).await;
            let lines: Vec<Value> =
                log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.last().unwrap()["message"], "the schema is up to date", "{log}");
            assert_eq!(lines.last().unwrap()["applied"], applied, "{log}");
        }
        let status = migrate(service, &database, &["--status"]).await;
        assert_eq!(status, pending.replace("pending", "applied"));
    }
}
