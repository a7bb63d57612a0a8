//! The format of log lines.

use std::io::Write;
use std::sync::{Arc, Mutex};

use parlance_runtime::config::LogFormat;
use parlance_runtime::context::RequestContext;
use parlance_runtime::telemetry::log_layer;
use parlance_runtime::trace::Trace;
use serde_json::Value;
use tracing_subscriber::layer::SubscriberExt;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns a line that is logged within a request and one outside, and the request's trace.
async fn lines(format: LogFormat) -> (Vec<String>, Trace) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::registry().with(log_layer(format, move || writer.clone(), false));
    let _guard = tracing::subscriber::set_default(subscriber);
    let context = RequestContext::new("an-id");
    let trace = context.trace.clone();
    context.scope(async { tracing::warn!(room.id = 7, "inside") }).await;
    tracing::warn!("outside");
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (text.lines().map(str::to_owned).collect(), trace)
}

#[tokio::test]
async fn a_text_line_of_a_request_ends_with_its_ids() {
    let (lines, trace) = lines(LogFormat::Text).await;
    let end = format!(" WARN inside room.id=7 request.id=an-id trace.id={trace}");
    assert!(lines[0].ends_with(&end), "{lines:?}");
    assert!(lines[1].ends_with(" WARN outside"), "{lines:?}");
}

#[tokio::test]
async fn a_json_line_of_a_request_has_its_ids() {
    let (lines, trace) = lines(LogFormat::Json).await;
    let objects: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&objects[0]["message"], &objects[0]["room.id"]), (&"inside".into(), &7.into()));
    assert_eq!(objects[0]["request.id"], "an-id");
    assert_eq!(objects[0]["trace.id"], trace.to_string());
    assert_eq!((&objects[1]["message"], objects[1].get("request.id")), (&"outside".into(), None));
}
