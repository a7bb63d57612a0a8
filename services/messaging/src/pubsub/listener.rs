//! Receives publications of other replicas and delivers their events to the attached streams.

use fred::clients::SubscriberClient;
use fred::interfaces::EventInterface;
use fred::types::Message;
use opentelemetry::global;
use opentelemetry::metrics::Histogram;
use parlance_proto::messaging::PublishedEvents;
use parlance_runtime::trace::{Span, SpanBuilder};
use prost::Message as _;
use tokio::sync::broadcast::error::RecvError;

use super::header::{Publisher, start_span};
use crate::streams::Streams;

pub(super) struct Listener {
    subscriber: SubscriberClient,
    this_process: Publisher,
    streams: Streams,
    lag: Histogram<f64>,
}

impl Listener {
    pub(super) fn new(
        subscriber: SubscriberClient,
        this_process: Publisher,
        streams: Streams,
    ) -> Self {
        let lag = global::meter("parlance")
            .f64_histogram("parlance.messaging.redis.lag")
            .with_description(
                "Time from publishing to receiving, for publications that this replica receives \
                 itself.",
            )
            .with_unit("s")
            .with_boundaries(vec![0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
            .build();
        Self { subscriber, this_process, streams, lag }
    }

    pub(super) async fn run(self) -> anyhow::Result<()> {
        let mut messages = self.subscriber.message_rx();
        loop {
            match messages.recv().await {
                Ok(message) => self.on_message(&message),
                Err(RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "lost publications from Redis; the log poller follows");
                }
                Err(RecvError::Closed) => anyhow::bail!("the Redis client has ended"),
            }
        }
    }

    /// Delivers the events of a publication. Ignores this replica's own, whose events were
    /// delivered before they were published.
    fn on_message(&self, message: &Message) {
        let Some(payload) = message.value.as_bytes() else { return };
        let header = payload.split_first_chunk::<{ Publisher::HEADER }>();
        let Some((header, events)) = header else { return };
        if let Some(age) = self.this_process.own_age(u128::from_be_bytes(*header)) {
            self.lag.record(age.as_secs_f64(), &[]);
            return;
        }
        match PublishedEvents::decode(events) {
            Ok(mut published) => {
                let events = published.events.iter_mut();
                let _spans: Vec<Span> =
                    events.filter_map(|event| start_span(event, new_span)).collect();
                self.streams.deliver(&published.events, Vec::new());
            }
            Err(error) => tracing::warn!(%error, "cannot decode a publication; ignoring it"),
        }
    }
}

fn new_span() -> SpanBuilder {
    SpanBuilder::consumer("receive room:{id}")
        .with("messaging.operation.name", "receive")
        .with("messaging.operation.type", "process")
}
