//! The synthetic probe: a message that the gateway sends to itself the whole way, to see that
//! messages flow.
//!
//! The probe has a room of its own, which no client can name, and subscribes to it anew each time.
//! It uses the same streams, membership check, store and delivery as a message of a client. The
//! first success makes the gateway ready. Later failures only show as metrics: a failure behind the
//! gateways would otherwise take all of them out of service.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Histogram};
use parlance_core::{ErrorCode, MessageContent, RoomId, Timestamp, UserId, Violation};
use rand::Rng;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::app::App;
use crate::auth::verifier::Identity;
use crate::fanout::{Hub, Subscription};
use crate::messaging_client::MessagingClient;
use crate::ws::frames::Frames;
use crate::ws::send_queue::{SendQueue, Wake};

/// The name of the sender, and the content.
const NAME: &str = "probe";
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time between probes until the first one succeeds.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Sends probes, one after the other.
pub(crate) struct Probe {
    hub: Hub,
    messaging_client: MessagingClient,
    sender: Identity,
    content: MessageContent,
    is_failing: bool,
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
            is_failing: false,
            metrics: Metrics::new(),
        })
    }

    /// Returns after the first success.
    pub(crate) async fn succeed_once(&mut self) {
        while !self.probe().await {
            sleep(RETRY_INTERVAL).await;
        }
    }

    pub(crate) async fn probe_forever(&mut self, every: Duration) {
        let mut ticks = interval_at(Instant::now() + every, every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.probe().await;
        }
    }

    /// Sends a probe. Returns whether its event arrived in time.
    async fn probe(&mut self) -> bool {
        let send_queue = self.hub.send_queue(rand::rng().random(), None);
        let result = timeout(PROBE_TIMEOUT, self.round_trip(&send_queue)).await;
        self.hub.disconnect(send_queue.id, &HashSet::from([RoomId::CANARY]));
        let result = result.unwrap_or(Err(ErrorCode::Unavailable));
        self.metrics.record(result);
        match result {
            Err(code) if !self.is_failing => {
                tracing::warn!(error.code = code.name(), "probe failed: messages do not flow");
            }
            Ok(_) if self.is_failing => tracing::info!("probe succeeded: messages flow again"),
            _ => {}
        }
        self.is_failing = result.is_err();
        result.is_ok()
    }

    /// Subscribes, sends a message and waits for its event. Returns the time since the send.
    async fn round_trip(&self, send_queue: &Arc<SendQueue>) -> Result<Duration, ErrorCode> {
        let (user_id, room_id) = (UserId::CANARY, RoomId::CANARY);
        let (after_seq, reference) = (None, None);
        let new = Subscription { send_queue, user_id, room_id, after_seq, reference };
        self.hub.subscribe(&new).await?;
        let sent_at = Instant::now();
        let content = self.content.clone();
        let sent = self.messaging_client.send(room_id, &self.sender, content, None).await?;
        loop {
            let Wake::Queued(closing) = send_queue.wait().await else { continue };
            // The messages of other gateways arrive here, too.
            let frames = send_queue.take();
            let mut ids = frames.iter().flat_map(Frames::texts).filter_map(message_id);
            if ids.any(|id| id == sent.message.id) {
                return Ok(sent_at.elapsed());
            }
            if closing.is_some() {
                return Err(ErrorCode::Unavailable);
            }
        }
    }
}

/// The id of the message in a frame, if there is one.
fn message_id(text: &str) -> Option<i64> {
    let frame: Value = serde_json::from_str(text).ok()?;
    frame["message"]["id"].as_i64()
}

struct Metrics {
    duration: Histogram<f64>,
    failures: Counter<u64>,
    /// When a probe last succeeded or, before that, when the process started.
    last_success: Arc<Mutex<Instant>>,
}

impl Metrics {
    fn new() -> Self {
        let meter = global::meter("parlance");
        let last_success = Arc::new(Mutex::new(Instant::now()));
        let observed = last_success.clone();
        meter
            .f64_observable_gauge("parlance.gateway.probe.age")
            .with_description("Time since a probe succeeded, or since the first one was sent.")
            .with_unit("s")
            .with_callback(move |gauge| {
                gauge.observe(lock(&observed).elapsed().as_secs_f64(), &[]);
            })
            .build();
        let failures = meter
            .u64_counter("parlance.gateway.probe.failures")
            .with_description("Probes whose event did not arrive in time.")
            .build();
        failures.add(0, &[]);
        let duration = meter
            .f64_histogram("parlance.gateway.probe.duration")
            .with_description("Time from sending a probe to its event.")
            .with_unit("s")
            .with_boundaries(vec![0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0])
            .build();
        Self { duration, failures, last_success }
    }

    fn record(&self, result: Result<Duration, ErrorCode>) {
        match result {
            Ok(duration) => {
                self.duration.record(duration.as_secs_f64(), &[]);
                *lock(&self.last_success) = Instant::now();
            }
            Err(_) => self.failures.add(1, &[]),
        }
    }
}

fn lock(last_success: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    last_success.lock().unwrap_or_else(PoisonError::into_inner)
}
