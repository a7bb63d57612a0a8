//! The probe: a message that the gateway sends to itself the whole way, to see that messages flow.
//!
//! It has a room of its own, which no client can name. The gateway subscribes to it anew for each
//! probe, as a connection does, so that the streams, the check of the membership, the store and
//! the way of an event are those of everybody. That it has come back once makes a gateway ready.
//! From then on it is a metric: what is away behind would take all gateways away otherwise.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::{ErrorCode, MessageContent, RoomId, Timestamp, UserId, Violation};
use rand::Rng;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::app::App;
use crate::auth::verifier::Identity;
use crate::fanout::hub::Hub;
use crate::messaging_client::MessagingClient;
use crate::ws::frames::Frames;
use crate::ws::send_queue::{SendQueue, Wake};

/// The name that is stored beside the id of the sender, and the content.
const NAME: &str = "probe";
/// A probe that takes longer is lost.
const FLIGHT_LIMIT: Duration = Duration::from_secs(2);
/// The time before the next one, as long as none has come back.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Sends canaries, one after the other.
pub(crate) struct Probe {
    hub: Hub,
    messaging_client: MessagingClient,
    sender: Identity,
    content: MessageContent,
    /// Whether the last one was lost.
    is_lost: bool,
    metrics: Metrics,
}

impl Probe {
    pub(crate) fn new(app: &App) -> Result<Self, Violation> {
        let expires_at = Timestamp::from_micros(i64::MAX);
        Ok(Self {
            hub: app.hub.clone(),
            messaging_client: app.messaging_client.clone(),
            sender: Identity { user_id: UserId::CANARY, username: NAME.to_owned(), expires_at },
            content: MessageContent::parse(NAME.to_owned())?,
            is_lost: false,
            metrics: Metrics::new(),
        })
    }

    /// Returns as soon as one has come back.
    pub(crate) async fn succeed_once(&mut self) {
        while !self.fly().await {
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Sends one again and again, and measures.
    pub(crate) async fn probe_forever(&mut self, every: Duration) {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.fly().await;
        }
    }

    /// Sends one; whether it has come back.
    async fn fly(&mut self) -> bool {
        let send_queue = self.hub.send_queue(rand::rng().random(), None);
        let flight = tokio::time::timeout(FLIGHT_LIMIT, self.there_and_back(&send_queue)).await;
        self.hub.disconnect(send_queue.id, &HashSet::from([RoomId::CANARY]));
        let outcome = flight.unwrap_or(Err(ErrorCode::Unavailable));
        self.metrics.record(outcome);
        match outcome {
            Err(code) if !self.is_lost => {
                tracing::warn!(
                    error.code = code.name(),
                    "the probe has not come back: messages do not flow"
                );
            }
            Ok(_) if self.is_lost => tracing::info!("the probe has come back: messages flow"),
            _ => {}
        }
        self.is_lost = outcome.is_err();
        outcome.is_ok()
    }

    /// Subscribes, sends, and waits for the event of what was sent; the time from there to here.
    async fn there_and_back(&self, send_queue: &Arc<SendQueue>) -> Result<Duration, ErrorCode> {
        self.hub.subscribe(send_queue, UserId::CANARY, RoomId::CANARY, None, None).await?;
        let begin = Instant::now();
        let sent = self
            .messaging_client
            .send(RoomId::CANARY, &self.sender, self.content.clone(), None)
            .await?;
        loop {
            let Wake::Queued(closing) = send_queue.wake().await else { continue };
            // The canaries of other gateways come here, too.
            if send_queue
                .take()
                .iter()
                .flat_map(Frames::texts)
                .any(|text| message_id(text) == Some(sent.message.id))
            {
                return Ok(begin.elapsed());
            }
            if closing.is_some() {
                return Err(ErrorCode::Unavailable);
            }
        }
    }
}

/// Which message a frame tells of, if it does.
fn message_id(text: &str) -> Option<i64> {
    let frame: Value = serde_json::from_str(text).ok()?;
    frame["message"]["id"].as_i64()
}

/// What became of the canaries, on `/metrics`.
struct Metrics {
    duration: Histogram<f64>,
    failures: Counter<u64>,
    /// When the last one came back; before that, when the first one was sent.
    last_return: Arc<Mutex<Instant>>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("parlance");
        let last_return = Arc::new(Mutex::new(Instant::now()));
        let observed = last_return.clone();
        meter
            .f64_observable_gauge("parlance.gateway.probe.age")
            .with_description("Time since a probe came back, or since the first one was sent.")
            .with_unit("s")
            .with_callback(move |gauge| gauge.observe(age(&observed), &[]))
            .build();
        let failures = meter
            .u64_counter("parlance.gateway.probe.failures")
            .with_description("Canaries that did not come back in time.")
            .build();
        failures.add(0, &[]);
        Self {
            duration: meter
                .f64_histogram("parlance.gateway.probe.duration")
                .with_description("Time from sending a probe to its event.")
                .with_unit("s")
                .with_boundaries(vec![0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
                .build(),
            failures,
            last_return,
        }
    }

    fn record(&self, outcome: Result<Duration, ErrorCode>) {
        match outcome {
            Ok(duration) => {
                self.duration.record(duration.as_secs_f64(), &[]);
                *self.last_return.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
            }
            Err(_) => self.failures.add(1, &[]),
        }
    }
}

fn age(since: &Mutex<Instant>) -> f64 {
    since.lock().unwrap_or_else(PoisonError::into_inner).elapsed().as_secs_f64()
}
