//! Closed loop over HTTP: each connection sends its next request as soon as it has the response.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use parlance_measure::Latencies;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::http::HttpConnection;
use crate::row::Measured;
use crate::usage::{ByPart, Usage, Window};

/// The responses that arrived within the window.
#[derive(Debug, Default)]
pub struct Tally {
    /// The number of responses.
    pub responses: u64,
    /// From request to response.
    pub latencies: Latencies,
    /// When the first and the last response arrived.
    span: Option<(Instant, Instant)>,
}

/// Open connections, each with its request.
pub struct Ready(Vec<(HttpConnection, Request<Full<Bytes>>)>);

impl Ready {
    /// Opens connections. They use the servers and the requests in turn.
    pub async fn connect(
        servers: &[SocketAddr],
        requests: impl AsRef<[Request<Full<Bytes>>]>,
        count: usize,
    ) -> anyhow::Result<Self> {
        let pairs = servers.iter().cycle().zip(requests.as_ref().iter().cycle()).take(count);
        let mut connections = Vec::new();
        for (server, request) in pairs {
            connections.push((HttpConnection::open(*server).await?, request.clone()));
        }
        Ok(Self(connections))
    }

    /// Sends requests until the window ends.
    pub async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let mut running = JoinSet::new();
        for (connection, request) in self.0 {
            running.spawn(repeat(connection, request, window));
        }
        let mut sum = Tally::default();
        while let Some(tally) = running.join_next().await {
            sum.merge(&tally??);
        }
        Ok(sum)
    }
}

async fn repeat(
    mut connection: HttpConnection,
    request: Request<Full<Bytes>>,
    window: Window,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut sent_at = Instant::now();
    while sent_at < window.to {
        connection.exchange(request.clone()).await?;
        let now = Instant::now();
        if window.contains(now) {
            tally.add(now, now - sent_at);
        }
        sent_at = now;
    }
    Ok(tally)
}

impl Tally {
    /// Adds a response.
    pub fn add(&mut self, at: Instant, latency: Duration) {
        self.responses += 1;
        self.latencies.record(latency);
        self.widen((at, at));
    }

    /// Adds the responses of another connection.
    pub fn merge(&mut self, other: &Self) {
        self.responses += other.responses;
        self.latencies.merge(&other.latencies);
        other.span.into_iter().for_each(|span| self.widen(span));
    }

    /// Returns the rate as the figure of a round.
    pub(crate) fn into_measured(self, usage: ByPart<Usage>) -> Measured {
        let (figure, operations) = (self.rate(), self.responses);
        Measured { figure, operations, latencies: Some(self.latencies), usage }
    }

    fn widen(&mut self, (first, last): (Instant, Instant)) {
        let (begin, end) = self.span.unwrap_or((first, last));
        self.span = Some((begin.min(first), end.max(last)));
    }

    /// Returns the responses a second, from the first to the last one. Exact also for a few.
    pub fn rate(&self) -> f64 {
        let span = self.span.map_or(Duration::ZERO, |(first, last)| last - first);
        if span.is_zero() { 0.0 } else { (self.responses - 1) as f64 / span.as_secs_f64() }
    }
}
