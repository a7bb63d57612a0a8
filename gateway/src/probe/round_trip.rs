//! One probe: it sends a message and waits for the event, as a connection does.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parlance_core::{ErrorCode, MessageContent, Violation};
use parlance_runtime::ticks;
use rand::Rng;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use crate::app::App;
use crate::fanout::{Subscription, Turn};
use crate::messaging_client::SentMessage;
use crate::probe::metrics::Metrics;
use crate::probe::target::Target;
use crate::ws::frames::Frames;
use crate::ws::send_queue::{SendQueue, Wake};

const CONTENT: &str = "probe";
/// The most time from the subscription, if there is none yet, to the event.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most time to find or make the target, and to delete its room. A probe does not fail because
/// this takes longer than a round trip may.
const TARGET_TIMEOUT: Duration = Duration::from_secs(5);
/// The time between probes until the first one succeeds.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);
/// The room is deleted after this many changes, so that probes take bounded space in the store.
const MAX_SEQ: i64 = 10_000;

/// Sends probes, one after the other.
pub(crate) struct Probe {
    app: App,
    content: MessageContent,
    /// The target whose room the queue is subscribed to. `None` before the first probe and after a
    /// failure.
    target: Option<Arc<Target>>,
    /// Receives the events of the target's room, also those of other gateways' probes.
    send_queue: Arc<SendQueue>,
    is_failing: bool,
    metrics: Metrics,
}

impl Probe {
    pub(crate) fn new(app: &App) -> Result<Self, Violation> {
        Ok(Self {
            app: app.clone(),
            content: MessageContent::parse(CONTENT.to_owned())?,
            target: None,
            send_queue: new_send_queue(app),
            is_failing: false,
            metrics: Metrics::new(),
        })
    }

    /// Probes until the first success.
    pub(crate) async fn succeed_once(&mut self) {
        while !self.probe().await {
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Probes at an interval, which starts now.
    pub(crate) async fn probe_forever(&mut self, every: Duration) {
        let mut ticks = ticks(every);
        // The first tick is due at once, but a probe has just succeeded.
        ticks.tick().await;
        loop {
            ticks.tick().await;
            self.probe().await;
        }
    }

    /// Sends a probe. Returns whether its event arrived in time.
    async fn probe(&mut self) -> bool {
        let result = self.send_to_held_or_new_target().await;
        self.metrics.record(result);
        match result {
            Err(code) if !self.is_failing => {
                tracing::warn!(
                    error.code = code.name(),
                    "synthetic probe failed: messages do not flow; probing again"
                );
            }
            Ok(_) if self.is_failing => {
                tracing::info!("synthetic probe succeeded: messages flow again")
            }
            _ => {}
        }
        self.is_failing = result.is_err();
        if self.is_failing {
            self.reset();
        }
        result.is_ok()
    }

    /// Sends a probe. Tries once more, with a new target, if the room of a held one is gone:
    /// another gateway has deleted it. Returns the time from sending to the event.
    async fn send_to_held_or_new_target(&mut self) -> Result<Duration, ErrorCode> {
        let is_held = self.target.is_some();
        match self.send().await {
            Err(ErrorCode::RoomNotFound | ErrorCode::NotAMember) if is_held => {
                self.reset();
                self.send().await
            }
            result => result,
        }
    }

    /// Sends a probe to the held target, or else to one that it finds or makes. Deletes the room
    /// after too many changes.
    async fn send(&mut self) -> Result<Duration, ErrorCode> {
        let held = self.target.clone();
        let is_new = held.is_none();
        let target = match held {
            Some(target) => target,
            None => {
                let ensured = within(TARGET_TIMEOUT, Target::ensure(&self.app)).await?;
                self.target.insert(Arc::new(ensured)).clone()
            }
        };
        let round_trip = self.round_trip(&target, is_new);
        let (duration, seq) = within(PROBE_TIMEOUT, round_trip).await?;
        if seq > MAX_SEQ {
            self.delete(&target).await;
        }
        Ok(duration)
    }

    /// Sends a message and waits for its event. Returns the time between the two, and the `seq` of
    /// the message. Subscribes first if the target is new.
    async fn round_trip(
        &self,
        target: &Target,
        is_new: bool,
    ) -> Result<(Duration, i64), ErrorCode> {
        if is_new {
            let new = Subscription {
                send_queue: self.send_queue.clone(),
                user_id: target.sender.user_id,
                room_id: target.room_id,
                after_seq: None,
                reference: None,
                turn: Turn::AtOnce,
                permit: None,
            };
            self.app.hub.subscribe(&new).await?;
        }
        // Frames that arrived since the last probe belong to probes of other gateways.
        drop(self.send_queue.take());
        let sent_at = Instant::now();
        let content = self.content.clone();
        let client = &self.app.messaging_client;
        let permit = self.app.limits.user_share(target.sender.user_id).begin_or_refuse()?;
        let sent = client.send(target.room_id, &target.sender, content, None, permit).await?;
        wait_for_event(&self.send_queue, &sent).await?;
        Ok((sent_at.elapsed(), sent.message.seq))
    }

    /// Deletes the room. A failure does not count as one of the probe, whose event has arrived: the
    /// next probe tries again.
    async fn delete(&mut self, target: &Target) {
        if let Err(code) = within(TARGET_TIMEOUT, target.delete(&self.app)).await {
            tracing::warn!(
                error.code = code.name(),
                "the room of the synthetic probes could not be deleted; the next probe tries again"
            );
        }
        self.reset();
    }

    /// Ends the subscription. The next probe starts anew.
    fn reset(&mut self) {
        if let Some(target) = self.target.take() {
            self.app.hub.disconnect(self.send_queue.id, &HashSet::from([target.room_id]));
        }
        self.send_queue = new_send_queue(&self.app);
    }
}

/// Makes a queue that no socket writes.
fn new_send_queue(app: &App) -> Arc<SendQueue> {
    app.hub.send_queue(rand::rng().random(), None)
}

/// Waits for a result, but at most for some time.
async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ErrorCode>>,
) -> Result<T, ErrorCode> {
    timeout(limit, work).await.unwrap_or(Err(ErrorCode::Unavailable))
}

/// Waits until the event of a message is in the queue.
async fn wait_for_event(send_queue: &SendQueue, sent: &SentMessage) -> Result<(), ErrorCode> {
    loop {
        let Wake::Queued(closing) = send_queue.wait().await else { continue };
        let frames = send_queue.take();
        let mut ids = frames.iter().flat_map(Frames::texts).filter_map(message_id);
        if ids.any(|id| id == sent.message.id) {
            return Ok(());
        }
        if closing.is_some() {
            return Err(ErrorCode::Unavailable);
        }
    }
}

/// Returns the id of the message in a frame, if there is one.
fn message_id(text: &str) -> Option<i64> {
    let frame: Value = serde_json::from_str(text).ok()?;
    frame["message"]["id"].as_i64()
}
