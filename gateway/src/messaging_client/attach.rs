//! The tasks that keep a stream to each replica and expire requests.

use std::time::Duration;

use parlance_core::ErrorCode;
use parlance_proto::messaging::AttachResponse;
use parlance_proto::messaging::messaging_service_client::MessagingServiceClient;
use parlance_runtime::error::code_from_status;
use parlance_runtime::grpc::Replica;
use parlance_runtime::{Lifecycle, ticks};
use rand::Rng;
use tokio::time::{Instant, sleep, timeout};

use crate::messaging_client::client::MessagingClient;
use crate::messaging_client::pending::MAX_PENDING;
use crate::messaging_client::request_queue;
use crate::messaging_client::stream_message::Renewal;
use crate::messaging_client::streams::StreamId;

/// What may wait for one stream: all requests, and as many releases and renewals.
const MAX_QUEUED: usize = 2 * MAX_PENDING;
const ATTACH_TIMEOUT: Duration = Duration::from_secs(2);
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_millis(500);
const SWEEP_INTERVAL: Duration = Duration::from_millis(50);
/// Batches are far smaller than this.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// Receives events from all streams. Each stream calls it from its own task.
pub(crate) trait EventHandler: Clone + Send + Sync + 'static {
    /// Handles the events, membership ends and `last_seq`s of a response. Its answers are passed on
    /// afterwards, and the next response is read after that.
    fn on_events(&self, response: AttachResponse) -> impl Future<Output = ()> + Send;

    /// Handles answers to [`renew`](super::MessagingClient::renew).
    fn on_renewed(&self, renewals: Vec<Renewal>);

    /// Handles a change of the attached replicas: rooms may have another owner replica now.
    fn on_replicas_changed(&self);
}

impl MessagingClient {
    /// Attaches to all replicas, now and whenever they change, and passes events to the handler.
    pub(crate) fn run(&self, handler: impl EventHandler, lifecycle: &Lifecycle) {
        lifecycle.spawn_task("messaging streams", self.clone().keep_attached(handler.clone()));
        lifecycle.spawn_task("request expiry", self.clone().expire_requests(handler));
    }

    async fn keep_attached(self, handler: impl EventHandler) -> anyhow::Result<()> {
        let run = |replica| self.clone().keep_attached_to(replica, handler.clone());
        self.grpc.run_for_each_replica(run, || handler.on_replicas_changed()).await
    }

    async fn keep_attached_to(self, replica: Replica, handler: impl EventHandler) {
        let mut backoff = MIN_BACKOFF;
        loop {
            let started = Instant::now();
            if let Err(code) = self.attach(&replica, &handler).await {
                tracing::debug!(
                    replica = %replica.address(),
                    error.code = code.name(),
                    "stream to messaging failed; attaching again"
                );
            }
            handler.on_replicas_changed();
            let was_attached = started.elapsed() > ATTACH_TIMEOUT;
            backoff = if was_attached { MIN_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
            let jitter: f64 = rand::rng().random_range(0.5..1.0);
            sleep(backoff.mul_f64(jitter)).await;
        }
    }

    /// Attaches to a replica and serves the stream until it ends.
    async fn attach(
        &self,
        replica: &Replica,
        handler: &impl EventHandler,
    ) -> Result<(), ErrorCode> {
        let (queue, reader) = request_queue::new(MAX_QUEUED);
        let request = self.grpc.authorize(reader.batches());
        let mut client = MessagingServiceClient::new(replica.channel())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let attached = timeout(ATTACH_TIMEOUT, client.attach(request)).await;
        let attached = attached
            .map_err(|_| ErrorCode::Unavailable)?
            .map_err(|status| code_from_status(&status))?;

        let id = StreamId { address: replica.address(), epoch: self.next_id() };
        self.pending().add_stream(id, queue);
        let detach = DetachOnDrop { client: self, id };
        tracing::info!(replica = %id.address, "attached to a replica of messaging");
        handler.on_replicas_changed();
        let result = self.read(id, attached.into_inner(), handler).await;
        drop(detach);
        tracing::info!(replica = %id.address, "detached from a replica of messaging");
        result
    }

    /// Handles responses until the stream ends, or a draining replica has answered every request.
    async fn read(
        &self,
        id: StreamId,
        mut responses: tonic::Streaming<AttachResponse>,
        handler: &impl EventHandler,
    ) -> Result<(), ErrorCode> {
        let mut sweep = ticks(SWEEP_INTERVAL);
        loop {
            let response = tokio::select! {
                response = responses.message() => response,
                _ = sweep.tick() => {
                    if self.pending().is_drained(id) {
                        return Ok(());
                    }
                    continue;
                }
            };
            let Some(mut response) = response.map_err(|status| code_from_status(&status))? else {
                return Ok(());
            };
            if response.going_away {
                self.pending().streams.mark_leaving(id);
                handler.on_replicas_changed();
            }
            let answers = std::mem::take(&mut response.answers);
            handler.on_events(response).await;
            let renewals = self.pending().resolve(answers);
            handler.on_renewed(renewals);
        }
    }

    async fn expire_requests(self, handler: impl EventHandler) -> anyhow::Result<()> {
        let mut sweep = ticks(SWEEP_INTERVAL);
        loop {
            let now = sweep.tick().await;
            let renewals = self.pending().expire(now);
            handler.on_renewed(renewals);
        }
    }
}

/// Removes the stream also when its task is aborted because the replica is gone.
struct DetachOnDrop<'a> {
    client: &'a MessagingClient,
    id: StreamId,
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        self.client.pending().remove_stream(self.id);
    }
}
