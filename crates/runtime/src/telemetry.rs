//! Logs, trace ids and metrics.

use std::io::IsTerminal;

use anyhow::Context as _;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{TraceContextExt, TracerProvider as _};
use opentelemetry::{Context, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use prometheus::TextEncoder;
use prometheus::process_collector::ProcessCollector;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogFormat, ProcessConfig};

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

/// Sets up logs, trace context and metrics for the whole process, once, inside its asynchronous runtime.
pub fn init(service: &'static str, config: &ProcessConfig) -> anyhow::Result<Metrics> {
    let filter =
        EnvFilter::try_new(&config.log_filter).context("LOG_FILTER is not a list of filter directives")?;
    let lines = match config.log_format {
        LogFormat::Text => tracing_subscriber::fmt::layer()
            .with_ansi(std::io::stdout().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer().json().flatten_event(true).boxed(),
    };

    // Without an exporter nothing is recorded, but every request has its trace id, and passes it on.
    let tracers = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build();
    let traces = tracing_opentelemetry::layer().with_tracer(tracers.tracer("parlance"));
    global::set_text_map_propagator(TraceContextPropagator::new());
    tracing_subscriber::registry().with(traces).with(lines).with(filter).try_init()?;

    let registry = prometheus::Registry::new();
    let exporter = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
    let resource = Resource::builder().with_service_name(service).build();
    global::set_meter_provider(
        SdkMeterProvider::builder().with_reader(exporter).with_resource(resource).build(),
    );
    observe_process(&registry)?;
    Ok(Metrics { registry })
}

/// Shows memory, processor time, file descriptors and threads of the process, and its tasks: what grows when something leaks.
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

/// Makes the span the child of the one that the headers name (W3C Trace Context), and writes the trace id into its field
/// `trace.id`.
pub fn continue_trace(span: &Span, headers: &http::HeaderMap) {
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // A span that is filtered out cannot have a parent.
    let _ = span.set_parent(parent);
    let trace_id = span.context().span().span_context().trace_id();
    span.record("trace.id", tracing::field::display(trace_id));
}

/// Writes the trace context of the current span into the headers of a request to another process.
pub fn propagate_trace(headers: &mut http::HeaderMap) {
    let context: Context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers))
    });
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut http::HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
