//! The set-up of logs and metrics.

use std::fmt;
use std::io::IsTerminal;

use anyhow::Context as _;
use opentelemetry::global;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::TextEncoder;
use prometheus::process_collector::ProcessCollector;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat, ProcessConfig};
use crate::context::RequestContext;

/// The metrics of the process, for `/metrics`.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: prometheus::Registry,
}

impl Metrics {
    /// Renders all metrics in the Prometheus text format.
    pub fn render(&self) -> anyhow::Result<String> {
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }
}

/// Sets up logs and metrics. Called once in a process, within its asynchronous runtime.
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

/// Sets up the log alone. Called once in a process, by a command that does one thing and ends.
pub fn init_log(config: &LogConfig) -> anyhow::Result<()> {
    let filter: Targets =
        config.log_filter.parse().context("LOG_FILTER is not a list of filter directives")?;
    let lines = log_layer(config.log_format, std::io::stdout, std::io::stdout().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(())
}

/// Sets up the log of a command that prints its result: the audit log and warnings go to the
/// standard error, as JSON.
pub fn init_command_log() -> anyhow::Result<()> {
    let filter =
        Targets::new().with_default(LevelFilter::WARN).with_target("audit", LevelFilter::INFO);
    let lines = log_layer(LogFormat::Json, std::io::stderr, false);
    tracing_subscriber::registry().with(lines).with(filter).try_init()?;
    Ok(())
}

/// Returns the layer that formats log lines and writes them, with colours if `ansi`.
pub fn log_layer<S, W>(format: LogFormat, writer: W, ansi: bool) -> Box<dyn Layer<S> + Send + Sync>
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

/// Exports memory, processor time, file descriptors, threads and tasks of the process: what grows
/// when something leaks.
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

/// Formats a log line with the ids of the current request at its end. They come from the request's
/// context, not from a `tracing` span: nearly all requests log nothing, and a span costs more than
/// the handling of some requests.
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
