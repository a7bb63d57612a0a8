//! Logs and metrics.

use std::fmt;
use std::io::IsTerminal;

use anyhow::Context as _;
use opentelemetry::global;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::TextEncoder;
use prometheus::process_collector::ProcessCollector;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat, ProcessConfig};
use crate::context::RequestContext;

/// The metrics of the process, as `/metrics` shows them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: prometheus::Registry,
}

impl Metrics {
    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> anyhow::Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

/// Sets up logs and metrics for the whole process, once, inside its asynchronous runtime.
pub fn init(service: &'static str, config: &ProcessConfig) -> anyhow::Result<Metrics> {
    init_log(&config.log)?;
    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
    let resource = Resource::builder().with_service_name(service).build();
    global::set_meter_provider(
        SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build(),
    );
    observe_process(&registry)?;
    Ok(Metrics { registry })
}

/// Sets up the log alone, once, for a process that only does one thing and ends.
pub fn init_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log_filter)
        .context("LOG_FILTER is not a list of filter directives")?;
    let lines = lines_as(config.log_format, std::io::stdout, std::io::stdout().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(())
}

fn lines_as<S, W>(format: LogFormat, writer: W, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(writer);
    match format {
        LogFormat::Text => layer
            .with_target(false)
            .map_event_format(|line| WithRequest { line: line.with_ansi(ansi), format })
            .boxed(),
        LogFormat::Json => layer
            .json()
            .flatten_event(true)
            .map_event_format(|line| WithRequest { line, format })
            .boxed(),
    }
}

/// Shows memory, processor time, file descriptors and threads of the process, and its tasks: what
/// grows when something leaks.
fn observe_process(registry: &prometheus::Registry) -> anyhow::Result<()> {
    registry.register(Box::new(ProcessCollector::for_self()))?;
    let runtime = tokio::runtime::Handle::current().metrics();
    global::meter("parlance")
        .u64_observable_gauge("parlance.process.tasks")
        .with_description("Asynchronous tasks that have not ended.")
        .with_callback(move |gauge| gauge.observe(runtime.num_alive_tasks() as u64, &[]))
        .build();
    Ok(())
}

/// A line of the log, with the ids of the request that is being handled at its end. They come from
/// the request's context, not from a span: nearly all requests write no line, and a span costs more
/// than answering some of them.
struct WithRequest<F> {
    line: F,
    format: LogFormat,
}

impl<S, N, F> FormatEvent<S, N> for WithRequest<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(RequestContext { request_id, trace, .. }) = RequestContext::current() else {
            return self.line.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.line.format_event(context, Writer::new(&mut line), event)?;
        match self.format {
            LogFormat::Text => {
                writeln!(writer, "{} request.id={request_id} trace.id={trace}", line.trim_end())
            }
            LogFormat::Json => {
                let object = line.trim_end().strip_suffix('}').unwrap_or_default();
                let request_id = serde_json::Value::from(&*request_id);
                writeln!(writer, r#"{object},"request.id":{request_id},"trace.id":"{trace}"}}"#)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;
    use crate::trace::Trace;

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

    /// What is written to the log inside and outside of a request, and the request's trace.
    async fn lines(format: LogFormat) -> (Vec<String>, Trace) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::registry().with(lines_as(format, move || writer.clone(), false));
        let _guard = tracing::subscriber::set_default(subscriber);
        let context = RequestContext::new("an-id");
        let trace = context.trace.clone();
        context.scope(async { tracing::warn!(room.id = 7, "inside") }).await;
        tracing::warn!("outside");
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        (text.lines().map(str::to_owned).collect(), trace)
    }

    #[tokio::test]
    async fn a_line_of_a_request_ends_with_its_ids() {
        let (lines, trace) = lines(LogFormat::Text).await;
        let end = format!(" WARN inside room.id=7 request.id=an-id trace.id={trace}");
        assert!(lines[0].ends_with(&end), "{lines:?}");
        assert!(lines[1].ends_with(" WARN outside"), "{lines:?}");
    }

    #[tokio::test]
    async fn an_object_of_a_request_has_its_ids() {
        let (lines, trace) = lines(LogFormat::Json).await;
        let objects: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&objects[0]["message"], &objects[0]["room.id"]), (&"inside".into(), &7.into()));
        assert_eq!(objects[0]["request.id"], "an-id");
        assert_eq!(objects[0]["trace.id"], trace.to_string());
        assert_eq!(
            (&objects[1]["message"], objects[1].get("request.id")),
            (&"outside".into(), None)
        );
    }
}
