//! A load balancer between the simulated clients and the gateways.

use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use parlance_client::{Client, Error, Method, Options, Request};
use parlance_devstack::Stack;
use serde_json::Value;

use super::REPLICAS;
use crate::support::{Answer, Person};

/// Longer than a gateway takes for an answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Sends requests to the gateways in turn, each over a new connection. It skips a gateway that
/// refuses connections.
pub(super) struct Balancer {
    clients: [Client; REPLICAS],
    turn: AtomicUsize,
    health: Mutex<[Health; REPLICAS]>,
}

/// The state of a gateway.
#[derive(Clone, Copy)]
pub(super) enum Health {
    Ready,
    /// It has received SIGTERM at this time, and may refuse connections at any moment.
    LeavingSince(Instant),
    /// It has stopped or is not ready yet.
    Away,
}

/// A request to any gateway.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) person: Option<&'a Person>,
    pub(super) body: Option<Value>,
}

/// Why a request has no answer.
enum Failure {
    /// The gateway has not seen the request.
    Refused,
    /// The connection was closed without an answer, by a gateway that stopped listening.
    Closed,
}

impl Balancer {
    pub(super) fn new(stack: &Stack) -> Self {
        let options =
            Options { timeout: DEADLINE, reuses_connections: false, ..Options::default() };
        let client =
            |gateway| Client::with_options([stack.address("gateway", gateway)], options.clone());
        Self {
            clients: array::from_fn(client),
            turn: AtomicUsize::new(0),
            health: Mutex::new([Health::Ready; REPLICAS]),
        }
    }

    /// Records the state of a gateway.
    pub(super) fn note(&self, gateway: usize, health: Health) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)[gateway] = health;
    }

    fn health(&self, gateway: usize) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)[gateway]
    }

    /// True if the gateway had received SIGTERM at that time.
    pub(super) fn was_leaving(&self, gateway: usize, at: Instant) -> bool {
        match self.health(gateway) {
            Health::Ready => false,
            Health::LeavingSince(since) => since <= at,
            Health::Away => true,
        }
    }

    /// The gateways that run, beginning with the next one in turn.
    pub(super) fn gateways(&self) -> impl Iterator<Item = usize> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..REPLICAS).map(move |offset| (first + offset) % REPLICAS);
        in_turn.filter(|&gateway| !matches!(self.health(gateway), Health::Away))
    }

    /// Sends a repeatable call to the gateways until one answers. Asserts that it is no 5xx.
    pub(super) async fn repeatable(&self, call: &Call<'_>) -> Answer {
        for gateway in self.gateways() {
            if let Ok(answer) = self.attempt(call, gateway).await {
                assert!(
                    !answer.status.is_server_error(),
                    "{} {}: {answer:?}",
                    call.method,
                    call.path
                );
                return answer;
            }
        }
        panic!("no gateway takes {} {}", call.method, call.path);
    }

    /// Reads an object that exists.
    pub(super) async fn get(&self, person: &Person, path: &str) -> Value {
        let call = Call { method: Method::GET, path, person: Some(person), body: None };
        self.repeatable(&call).await.ok(200)
    }

    /// Sends a call that must not be repeated. Returns `None` if its result is unknown.
    pub(super) async fn once(&self, call: &Call<'_>) -> Option<Answer> {
        for gateway in self.gateways() {
            match self.attempt(call, gateway).await {
                Ok(answer) if answer.status.is_server_error() => {
                    answer.refused(503, "unavailable");
                    return None;
                }
                Ok(answer) => return Some(answer),
                Err(Failure::Refused) => {}
                Err(Failure::Closed) => return None,
            }
        }
        panic!("no gateway takes {} {}", call.method, call.path);
    }

    async fn attempt(&self, call: &Call<'_>, gateway: usize) -> Result<Answer, Failure> {
        let begun = Instant::now();
        match self.clients[gateway].send(request(call)).await {
            Ok(response) => Ok(Answer(response)),
            Err(Error::Connect(_)) => Err(Failure::Refused),
            Err(Error::Connection(_)) if self.was_leaving(gateway, begun) => Err(Failure::Closed),
            Err(error) => {
                panic!("gateway {gateway} does not answer {} {}: {error:?}", call.method, call.path)
            }
        }
    }
}

fn request(call: &Call<'_>) -> Request {
    let request = Request::new(call.method.clone(), call.path);
    let request = match call.person {
        Some(person) => request.bearer(&person.token),
        None => request,
    };
    match &call.body {
        Some(body) => request.json(body),
        None => request,
    }
}
