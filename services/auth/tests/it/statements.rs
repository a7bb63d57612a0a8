//! Counts the SQL statements of one call. sqlx emits a tracing event for each, in the context of
//! the call, which has the request id.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};

use parlance_runtime::context::RequestContext;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::audit::AuditLines;

static COUNTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

/// Makes a call under a request id that no other test uses. Returns its result and how many
/// statements it took.
pub(crate) async fn count<T>(request_id: &str, call: impl Future<Output = T>) -> (T, usize) {
    static INSTALLED: LazyLock<()> = LazyLock::new(|| {
        let reported = Targets::new().with_target("sqlx::query", LevelFilter::DEBUG);
        let audited = Targets::new().with_target("audit", LevelFilter::INFO);
        tracing_subscriber::registry()
            .with(Counter.with_filter(reported))
            .with(AuditLines.with_filter(audited))
            .init();
    });
    LazyLock::force(&INSTALLED);

    let context = RequestContext::new(request_id);
    let result = context.scope(call).await;
    (result, COUNTS.lock().unwrap().get(request_id).copied().unwrap_or(0))
}

struct Counter;

impl<S: Subscriber> Layer<S> for Counter {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        if let Some(context) = RequestContext::current() {
            *COUNTS.lock().unwrap().entry(context.request_id.to_string()).or_default() += 1;
        }
    }
}
