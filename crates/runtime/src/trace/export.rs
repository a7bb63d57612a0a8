//! What becomes of the steps of recorded traces: they go to a collector, in OTLP over gRPC.
//!
//! Nobody waits for that. What does not fit into the queue is lost, as is what the collector does
//! not take in time, and counted.

use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, ensure};
use opentelemetry::metrics::Counter;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::Lifecycle;
use crate::config::ProcessConfig;

/// Steps that may wait; a step takes about a kilobyte.
const MAX_QUEUED: usize = 8_192;
/// Steps in one call.
const MAX_BATCH: usize = 512;
/// Other steps that one may have to do with: as many as there are messages in a batch.
const MAX_LINKS: u32 = 400;
/// How often what has collected is sent.
const INTERVAL: Duration = Duration::from_millis(500);
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// How long the collector may take for one call.
const EXPORT_LIMIT: Duration = Duration::from_secs(2);
/// How long a process that ends may take to send what is left.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

static EXPORT: OnceLock<Export> = OnceLock::new();

/// What makes steps, and where to ask for them to be sent at once.
struct Export {
    tracer: SdkTracer,
    flushes: mpsc::Sender<oneshot::Sender<()>>,
}

/// Whether traces are recorded in this process.
pub fn is_recording() -> bool {
    EXPORT.get().is_some()
}

pub(super) fn tracer() -> Option<&'static SdkTracer> {
    EXPORT.get().map(|export| &export.tracer)
}

/// Records traces from now on, if the settings name a collector. Once in a process, after
/// [`telemetry::init`](crate::telemetry::init).
pub fn start(
    service: &'static str,
    config: &ProcessConfig,
    lifecycle: &Lifecycle,
) -> anyhow::Result<()> {
    let lost = lost_spans();
    if config.otel_exporter_otlp_endpoint.is_empty() {
        return Ok(());
    }
    let endpoint = Endpoint::from_shared(config.otel_exporter_otlp_endpoint.clone())
        .context("OTEL_EXPORTER_OTLP_ENDPOINT is not the URL of a collector")?;
    let collector = TraceServiceClient::new(endpoint.connect_timeout(CONNECT_LIMIT).connect_lazy());

    let (queue, steps) = mpsc::channel(MAX_QUEUED);
    let (flush_sender, flushes) = mpsc::channel(1);
    let resource = resource(service);
    let exporter =
        Exporter { collector, resource: (&resource).into(), lost: lost.clone(), is_away: false };
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::AlwaysOn)
        .with_max_links_per_span(MAX_LINKS)
        .with_resource(resource)
        .with_span_processor(Queue { steps: queue, lost })
        .build();
    lifecycle.spawn_task("trace exporter", exporter.run(steps, flushes));
    let export = Export { tracer: provider.tracer("parlance"), flushes: flush_sender };
    ensure!(EXPORT.set(export).is_ok(), "traces are recorded already");
    Ok(())
}

/// Sends what is left, as far as that does not take long.
pub(crate) async fn flush() {
    let Some(export) = EXPORT.get() else { return };
    let (flushed_sender, flushed) = oneshot::channel();
    let flush = async {
        // Without the task there is nothing left to send to.
        let _ = export.flushes.send(flushed_sender).await;
        let _ = flushed.await;
    };
    if timeout(FLUSH_LIMIT, flush).await.is_err() {
        tracing::warn!("the last traces could not be exported in time");
    }
}

/// Whose the steps are: of this program, and of this process of it.
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
        .with_description("Steps of traces that were recorded and did not reach the collector.")
        .build();
    lost.add(0, &[]);
    lost
}

/// Takes steps that have ended. Never waits.
#[derive(Debug)]
struct Queue {
    steps: mpsc::Sender<SpanData>,
    lost: Counter<u64>,
}

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        if self.steps.try_send(span).is_err() {
            self.lost.add(1, &[]);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends what is in the queue.
struct Exporter {
    collector: TraceServiceClient<Channel>,
    resource: ResourceAttributesWithSchema,
    lost: Counter<u64>,
    /// Whether the last call failed.
    is_away: bool,
}

impl Exporter {
    async fn run(
        mut self,
        mut steps: mpsc::Receiver<SpanData>,
        mut flushes: mpsc::Receiver<oneshot::Sender<()>>,
    ) -> anyhow::Result<()> {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let flushed = tokio::select! {
                _ = ticks.tick() => None,
                flushed = flushes.recv() => flushed,
            };
            self.empty(&mut steps).await;
            if let Some(flushed) = flushed {
                // Who asked may have stopped waiting.
                let _ = flushed.send(());
            }
        }
    }

    /// Sends what has collected by now.
    async fn empty(&mut self, steps: &mut mpsc::Receiver<SpanData>) {
        for _ in 0..steps.len().div_ceil(MAX_BATCH) {
            let batch: Vec<SpanData> =
                (0..MAX_BATCH).map_while(|_| steps.try_recv().ok()).collect();
            let count = batch.len();
            let outcome = self.export(batch).await;
            if outcome.is_err() {
                self.lost.add(count as u64, &[]);
            }
            self.note(outcome);
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) -> Result<(), Status> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let call = self.collector.export(ExportTraceServiceRequest { resource_spans });
        timeout(EXPORT_LIMIT, call)
            .await
            .map_err(|_| Status::deadline_exceeded("no answer"))?
            .map(drop)
    }

    /// Says once that the collector is away, and once that it is back.
    fn note(&mut self, outcome: Result<(), Status>) {
        match outcome {
            Err(status) if !self.is_away => {
                tracing::warn!(
                    error = status.message(),
                    "traces cannot be exported: what is recorded is lost"
                );
                self.is_away = true;
            }
            Ok(()) if self.is_away => {
                tracing::info!("traces are exported again");
                self.is_away = false;
            }
            _ => {}
        }
    }
}
