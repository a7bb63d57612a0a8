//! Closed loop over HTTP: connections that ask again as soon as they are answered.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stats::Latencies;
use crate::usage::Window;
use crate::wire::HttpConnection;

/// Who asks what where; connections take servers and requests in turn.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) requests: Vec<Vec<u8>>,
    pub(crate) connections: usize,
}

/// What was answered while it counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    pub(crate) latencies: Latencies,
    /// The first and the last answer.
    span: Option<(Instant, Instant)>,
}

/// Connections that are open, each with what it asks.
pub(crate) struct Ready(Vec<(HttpConnection, Vec<u8>)>);

impl Requests {
    pub(crate) async fn prepare(self) -> anyhow::Result<Ready> {
        ensure!(!self.servers.is_empty() && !self.requests.is_empty(), "nothing to ask");
        let mut connections = Vec::new();
        for number in 0..self.connections {
            let connection =
                HttpConnection::open(self.servers[number % self.servers.len()]).await?;
            connections.push((connection, self.requests[number % self.requests.len()].clone()));
        }
        Ok(Ready(connections))
    }
}

impl Ready {
    /// Asks until the window ends.
    pub(crate) async fn run(self, window: Window) -> anyhow::Result<Tally> {
        let mut asking = JoinSet::new();
        for (connection, request) in self.0 {
            asking.spawn(ask(connection, request, window));
        }
        let mut sum = Tally::new()?;
        while let Some(tally) = asking.join_next().await {
            sum.add(&tally??)?;
        }
        Ok(sum)
    }
}

async fn ask(
    mut connection: HttpConnection,
    request: Vec<u8>,
    window: Window,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::new()?;
    let mut asked_at = Instant::now();
    while asked_at < window.to {
        connection.exchange(&request).await?;
        let now = Instant::now();
        if window.contains(now) {
            tally.note(now, now - asked_at);
        }
        asked_at = now;
    }
    Ok(tally)
}

impl Tally {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { answered: 0, latencies: Latencies::new()?, span: None })
    }

    fn note(&mut self, now: Instant, took: Duration) {
        self.answered += 1;
        self.latencies.record(took);
        self.widen((now, now));
    }

    fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.answered += other.answered;
        other.span.into_iter().for_each(|span| self.widen(span));
        self.latencies.add(&other.latencies)
    }

    fn widen(&mut self, (first, last): (Instant, Instant)) {
        let (begin, end) = self.span.unwrap_or((first, last));
        self.span = Some((begin.min(first), end.max(last)));
    }

    /// Answers a second from the first to the last one: right even where there are few.
    pub(crate) fn rate(&self) -> f64 {
        let span = self.span.map_or(Duration::ZERO, |(first, last)| last - first);
        if span.is_zero() { 0.0 } else { (self.answered - 1) as f64 / span.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::load::tests::serve;
    use crate::wire::http;
    use crate::yardsticks::routes;

    #[tokio::test]
    async fn every_connection_asks_again_and_again() {
        let long = "x".repeat(100_000);
        let bodies = HashMap::from([
            ("/long".to_owned(), long.clone()),
            ("/empty".to_owned(), String::new()),
        ]);
        let (_server, address) = serve(routes::router(bodies)).await;
        let requests = vec![http::get("/long", "token"), http::get("/empty", "token")];
        let mut connection = HttpConnection::open(address).await.unwrap();
        assert_eq!(connection.exchange(&requests[0]).await.unwrap(), long);

        let asking = Requests { servers: vec![address], requests, connections: 4 };
        let window = Window::after(Duration::ZERO, Duration::from_millis(200));
        let tally = asking.prepare().await.unwrap().run(window).await.unwrap();
        assert!(tally.answered > 4 && tally.rate() > 0.0, "{tally:?}");
    }

    #[tokio::test]
    async fn a_refusal_is_an_error() {
        let (_server, address) = serve(routes::router(HashMap::new())).await;
        let mut connection = HttpConnection::open(address).await.unwrap();
        let refused = connection.exchange(&http::get("/nothing", "token")).await.unwrap_err();
        assert!(refused.to_string().contains("404"), "{refused}");
    }

    #[test]
    fn a_rate_counts_the_spaces_between_answers() {
        let begin = Instant::now();
        let second = Duration::from_secs(1);
        let (mut one, mut other) = (Tally::new().unwrap(), Tally::new().unwrap());
        assert_eq!(one.rate(), 0.0);
        one.note(begin, second);
        assert_eq!(one.rate(), 0.0);
        one.note(begin + 2 * second, second);
        other.note(begin + second, second);
        one.add(&other).unwrap();
        assert_eq!((one.answered, one.rate()), (3, 1.0));
    }
}
