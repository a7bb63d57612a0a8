//! The attempts of one call, each at another replica.
//!
//! An attempt that fails is repeated where that is safe: if the replica has certainly not handled
//! the call, or if the method is idempotent. A call of an idempotent method does not wait for a
//! replica that hangs: after a part of its time it begins a second attempt, while the first goes
//! on, and takes the answer that comes first.

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use http::{HeaderName, HeaderValue};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};
use tonic::ConnectError;
use tonic::body::Body;
use tower::ServiceExt;

use super::client::Client;
use super::replica_channel::Replica;
use crate::error::chain;

/// How many replicas are tried for one call.
const MAX_ATTEMPTS: usize = 3;
/// The part of the remaining time after which a second attempt begins.
const PATIENCE_DIVISOR: u32 = 4;
const MAX_PATIENCE: Duration = Duration::from_millis(500);
/// The same for a replica that did not answer before.
const PATIENCE_WITH_TRIAL: Duration = Duration::from_millis(100);
/// The most second attempts of a client at a time. When all replicas are slow, further calls do
/// not double the load.
pub(super) const MAX_SECOND_ATTEMPTS: usize = 32;
const TIMEOUT_KEY: &str = "grpc-timeout";

/// One call, until it is answered.
pub(super) struct Call<'a> {
    client: &'a Client,
    parts: http::request::Parts,
    body: Bytes,
    is_idempotent: bool,
    deadline: Instant,
    tried: Vec<SocketAddr>,
    /// The attempts that have not ended.
    running: Vec<Attempt>,
    ends: FuturesUnordered<BoxFuture<'static, End>>,
}

/// An attempt at one replica.
struct Attempt {
    replica: Replica,
    began: Instant,
    /// True if it finds out whether the replica answers again.
    is_trial: bool,
}

struct End {
    replica: Replica,
    result: Result<http::Response<Body>, tonic::transport::Error>,
}

impl<'a> Call<'a> {
    /// The request has all of its headers but the timeout.
    pub(super) fn new(
        client: &'a Client,
        parts: http::request::Parts,
        body: Bytes,
        deadline: Instant,
    ) -> Self {
        let is_idempotent = parlance_proto::is_idempotent(parts.uri.path());
        let (tried, running, ends) = (Vec::new(), Vec::new(), FuturesUnordered::new());
        Self { client, parts, body, is_idempotent, deadline, tried, running, ends }
    }

    /// Returns the answer; `None` if no replica has answered before the deadline.
    pub(super) async fn run(mut self, second_attempts: &Semaphore) -> Option<http::Response<Body>> {
        let patience = self.begin()?;
        let mut permit = None;
        let mut second_attempt = pin!(async {
            sleep(patience).await;
            second_attempts.acquire().await
        });
        loop {
            tokio::select! {
                Some(end) = self.ends.next() => {
                    if let Some(response) = self.end(end) {
                        return Some(response);
                    }
                    if self.running.is_empty() {
                        return None;
                    }
                }
                acquired = &mut second_attempt, if permit.is_none() && self.is_idempotent => {
                    permit = Some(acquired);
                    if self.client.has_replica(&self.tried) {
                        self.give_up();
                        self.begin();
                    }
                }
                () = sleep_until(self.deadline) => {
                    self.give_up();
                    return None;
                }
            }
        }
    }

    /// Begins an attempt at a replica that was not tried. Returns how long to wait for it before
    /// another one is tried; `None` if there is no further replica.
    fn begin(&mut self) -> Option<Duration> {
        if self.tried.len() == MAX_ATTEMPTS {
            return None;
        }
        let (replica, is_trial) = self.client.next_replica(&self.tried, self.is_idempotent)?;
        let began = Instant::now();
        let remaining = self.deadline.saturating_duration_since(began);
        let request = self.request(remaining);
        self.tried.push(replica.address());
        self.running.push(Attempt { replica: replica.clone(), began, is_trial });
        self.ends.push(Box::pin(async move {
            // `oneshot` waits until the channel is ready, which a channel demands before a request.
            let result = replica.channel().oneshot(request).await;
            End { replica, result }
        }));
        let patience = (remaining / PATIENCE_DIVISOR).min(MAX_PATIENCE);
        Some(if is_trial { patience.min(PATIENCE_WITH_TRIAL) } else { patience })
    }

    fn request(&self, timeout: Duration) -> http::Request<Body> {
        let body = Body::new(Full::new(self.body.clone()));
        let mut request = http::Request::from_parts(self.parts.clone(), body);
        let timeout = HeaderValue::try_from(format!("{}m", timeout.as_millis().max(1)));
        if let (Ok(timeout), false) = (timeout, request.headers().contains_key(TIMEOUT_KEY)) {
            request.headers_mut().insert(HeaderName::from_static(TIMEOUT_KEY), timeout);
        }
        request
    }

    /// Returns the response of an attempt. After a failure begins another attempt, if it may.
    fn end(&mut self, end: End) -> Option<http::Response<Body>> {
        let End { replica, result } = end;
        let position =
            self.running.iter().position(|attempt| attempt.replica.address() == replica.address());
        let attempt = position.map(|position| self.running.swap_remove(position));
        let error = match result {
            Ok(response) => {
                replica.answered();
                return Some(response);
            }
            Err(error) => error,
        };
        if let Some(Attempt { began, is_trial, .. }) = attempt {
            replica.failed(began, is_trial);
        }
        let (service, address) = (self.client.service(), replica.address());
        tracing::debug!(service, replica = %address, error = chain(&error), "a call failed");
        if self.is_idempotent || was_not_handled(&error) {
            self.begin();
        }
        None
    }

    /// Ejects the replicas that have not answered so far, unless they answer other calls. Their
    /// attempts go on.
    fn give_up(&mut self) {
        for Attempt { replica, began, is_trial } in &mut self.running {
            // A trial counts once, however it ends later.
            replica.failed(*began, std::mem::take(is_trial));
        }
    }
}

/// True if the replica certainly has not handled the call: it could not be reached, or it was about
/// to stop and refused the call.
fn was_not_handled(error: &tonic::transport::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = source {
        let was_canceled = error.downcast_ref().is_some_and(hyper::Error::is_canceled);
        if was_canceled
            || error.is::<ConnectError>()
            || error.downcast_ref().is_some_and(was_refused)
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// True if the peer reports that it has not touched the stream (RFC 9113, 6.8 and 8.7). A GOAWAY
/// ends only those streams that the peer has not begun; the others go on, or break with the
/// connection, which is another error.
fn was_refused(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)
            || error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM))
}
