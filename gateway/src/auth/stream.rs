//! The stream of the access state from auth.
//!
//! While nothing changes, auth sends an empty message every second in which it can read its
//! database. The pings of HTTP/2 would show less: that the process lives, and not that what it
//! sends is new.

use std::time::Duration;

use parlance_proto::auth::{AccessState, WatchAccessStateRequest, WatchAccessStateResponse};
use rand::Rng;
use tokio::time::{Instant, timeout};
use tonic::{Status, Streaming};

use crate::auth::ended::Ended;
use crate::auth::verifier::TokenVerifier;

/// A stream without a message for this long is lost. It leaves time to ask another replica before
/// tokens are refused.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(2);
/// The time before a lost stream is opened again. It doubles with each failure.
const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);
/// How often entries that have expired are forgotten.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

impl TokenVerifier {
    /// Follows the access state, on one stream after the other.
    pub(super) async fn watch_forever(self) -> anyhow::Result<()> {
        let mut backoff = MIN_BACKOFF;
        loop {
            let has_completed = self.watch_once().await;
            backoff = if has_completed { MIN_BACKOFF } else { (backoff * 2).min(MAX_BACKOFF) };
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(backoff.mul_f64(jitter)).await;
        }
    }

    /// Applies the messages of one stream until it is lost. Returns true if the stream has brought
    /// the whole state.
    async fn watch_once(&self) -> bool {
        let mut stream = match self.open_stream().await {
            Ok(stream) => stream,
            Err(status) => {
                let error = status.message();
                tracing::debug!(error, "access state stream could not be opened; retrying");
                return false;
            }
        };
        let is_complete = self.read_snapshot(&mut stream).await.is_some();
        if is_complete {
            self.follow(&mut stream).await;
        }
        tracing::info!(is_complete, "access state stream lost; reconnecting");
        is_complete
    }

    async fn open_stream(&self) -> Result<Streaming<WatchAccessStateResponse>, Status> {
        let request = WatchAccessStateRequest { is_incremental: true };
        Ok(self.auth().watch_access_state(request).await?.into_inner())
    }

    /// Reads all that has ended so far. It replaces what is known only when it is complete, and when
    /// the next message has shown that auth reads its database: until then the old state stays in
    /// force.
    async fn read_snapshot(&self, stream: &mut Streaming<WatchAccessStateResponse>) -> Option<()> {
        let (mut state, mut ended) = (AccessState::default(), Ended::default());
        let mut is_complete = false;
        loop {
            let message = next(stream).await?;
            self.note_profiles(&message);
            state = message.state.unwrap_or(state);
            ended.add(message.ended);
            if is_complete {
                self.replace(state, ended);
                return Some(());
            }
            is_complete = message.is_complete;
        }
    }

    async fn follow(&self, stream: &mut Streaming<WatchAccessStateResponse>) {
        let mut purged_at = Instant::now();
        while let Some(message) = next(stream).await {
            self.note_profiles(&message);
            self.apply(message);
            if purged_at.elapsed() >= PURGE_INTERVAL {
                self.purge();
                purged_at = Instant::now();
            }
        }
    }
}

/// Returns the next message, or `None` if the stream is lost.
async fn next(
    stream: &mut Streaming<WatchAccessStateResponse>,
) -> Option<WatchAccessStateResponse> {
    timeout(SILENCE_TIMEOUT, stream.message()).await.ok()?.ok()?
}
