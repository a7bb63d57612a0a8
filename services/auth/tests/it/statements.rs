//! Counts the SQL statements that one call makes in this process: sqlx reports each as an event, inside of the span of the call,
//! which has the id of the request.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{LazyLock, Mutex};

use parlance_runtime::context::RequestContext;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

static COUNTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

/// Makes a call under a request id that no other test uses, and says how many statements it took.
pub(crate) async fn count<T>(request_id: &str, call: impl Future<Output = T>) -> (T, usize) {
    static INSTALLED: LazyLock<()> = LazyLock::new(|| {
        let reported = Targets::new()
            .with_target("sqlx::query", LevelFilter::DEBUG)
            .with_target("parlance_runtime", LevelFilter::INFO);
        tracing_subscriber::registry().with(Counter.with_filter(reported)).init();
    });
    LazyLock::force(&INSTALLED);

    let context = RequestContext { request_id: request_id.into(), deadline: None };
    let result = context.scope(call).await;
    (result, COUNTS.lock().unwrap().get(request_id).copied().unwrap_or(0))
}

struct Counter;

/// Kept beside the span of a call.
struct RequestId(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Counter {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut request_id = None;
        attributes.record(&mut ReadRequestId(&mut request_id));
        if let (Some(request_id), Some(span)) = (request_id, context.span(id)) {
            span.extensions_mut().insert(RequestId(request_id));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if event.metadata().target() != "sqlx::query" {
            return;
        }
        let spans = context.event_scope(event).into_iter().flatten();
        for span in spans {
            if let Some(RequestId(request_id)) = span.extensions().get() {
                *COUNTS.lock().unwrap().entry(request_id.clone()).or_default() += 1;
            }
        }
    }
}

struct ReadRequestId<'a>(&'a mut Option<String>);

impl Visit for ReadRequestId<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "request.id" {
            *self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}
