//! Sends the spans of recorded traces to a collector, in OTLP over gRPC.
//!
//! No request waits for that. The SDK drops a span that does not fit into its queue. A span is
//! lost, and counted, if the collector does not accept it in time.

use std::fs;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use opentelemetry::metrics::Counter;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{SpanExporter as OtlpExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanData,
    SpanExporter,
};
use tonic::transport::Endpoint;
use uuid::Uuid;

use crate::config::ProcessConfig;
use crate::error::chain;

/// The most spans that wait to be sent. A span takes about a kilobyte.
const MAX_QUEUED: usize = 8_192;
/// The most spans in one call.
const MAX_BATCH: usize = 512;
/// The most links of a span: one for each message of the largest batch.
const MAX_LINKS: u32 = 400;
const EXPORT_INTERVAL: Duration = Duration::from_millis(500);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The collector must accept a batch within this time, retries included.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// A process that ends sends its last spans within this time.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    tracer: SdkTracer,
    provider: SdkTracerProvider,
}

/// True if this process records traces.
pub fn is_recording() -> bool {
    EXPORT.get().is_some()
}

pub(super) fn tracer() -> Option<&'static SdkTracer> {
    EXPORT.get().map(|export| &export.tracer)
}

/// Records traces from now on if the settings name a collector. Called once in a process, within
/// its asynchronous runtime and after [`telemetry::init`](crate::telemetry::init).
pub fn start(service: &'static str, config: &ProcessConfig) -> anyhow::Result<()> {
    let lost = lost_spans();
    if config.otel_exporter_otlp_endpoint.is_empty() {
        return Ok(());
    }
    let channel = Endpoint::from_shared(config.otel_exporter_otlp_endpoint.clone())
        .context("OTEL_EXPORTER_OTLP_ENDPOINT is not the URL of a collector")?
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(EXPORT_TIMEOUT)
        .connect_lazy();
    let collector = OtlpExporter::builder()
        .with_tonic()
        .with_channel(channel)
        .with_timeout(EXPORT_TIMEOUT)
        .build()?;
    let exporter = Exporter { collector, lost, is_failing: AtomicBool::new(false) };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(MAX_QUEUED)
        .with_max_export_batch_size(MAX_BATCH)
        .with_scheduled_delay(EXPORT_INTERVAL)
        .build();
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(MAX_LINKS)
        .with_resource(resource(service))
        .with_span_processor(batches)
        .build();
    let export = Export { tracer: provider.tracer("parlance"), provider };
    ensure!(EXPORT.set(export).is_ok(), "traces are recorded already");
    Ok(())
}

/// Sends the spans that are left, within [`SHUTDOWN_TIMEOUT`], and stops the exporter.
pub(crate) async fn shut_down() {
    let Some(export) = EXPORT.get() else { return };
    let shut_down = || export.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
    if !matches!(tokio::task::spawn_blocking(shut_down).await, Ok(Ok(()))) {
        tracing::warn!("the last spans could not be exported in time; they are lost");
    }
}

/// Describes this program, and this process of it.
fn resource(service: &'static str) -> Resource {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let attributes = [
        ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
        ("service.instance.id", Uuid::new_v4().to_string()),
        ("host.name", host.trim().to_owned()),
    ];
    let attributes = attributes.map(|(name, value)| KeyValue::new(name, value));
    Resource::builder().with_service_name(service).with_attributes(attributes).build()
}

fn lost_spans() -> Counter<u64> {
    let lost = global::meter("parlance")
        .u64_counter("parlance.process.spans_lost")
        .with_description("Recorded spans that the collector did not accept in time.")
        .build();
    lost.add(0, &[]);
    lost
}

/// Sends batches to the collector.
#[derive(Debug)]
struct Exporter {
    collector: OtlpExporter,
    lost: Counter<u64>,
    /// True if the last call failed.
    is_failing: AtomicBool,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.collector.export(batch).await;
        if result.is_err() {
            self.lost.add(spans as u64, &[]);
        }
        // Logged once when the collector is away, and once when it is back.
        let was_failing = self.is_failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => tracing::warn!(
                error = chain(error),
                "the collector does not accept spans; they are lost until it does"
            ),
            Ok(()) if was_failing => tracing::info!("the collector accepts spans again"),
            _ => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.collector.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.collector.set_resource(resource);
    }
}
