//! What stands between clients and gateways in an installation.

use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use parlance_client::{Client, Error, Method, Options, Request};
use parlance_devstack::Stack;
use serde_json::Value;

use super::REPLICAS;
use crate::support::{Answer, Person};

/// Longer than a gateway takes for any answer.
const DEADLINE: Duration = Duration::from_secs(10);

/// Takes the gateways in turn, each request on a connection of its own. One that no longer accepts
/// connections is passed over.
pub(super) struct Balancer {
    clients: [Client; REPLICAS],
    turn: AtomicUsize,
    health: Mutex<[Health; REPLICAS]>,
}

/// How a gateway is.
#[derive(Clone, Copy)]
pub(super) enum Health {
    Ready,
    /// It was told to go; that it takes no more connections is only seen by trying.
    LeavingSince(Instant),
    /// It has stopped, or is not ready again yet.
    Away,
}

/// A request, to be sent to whichever gateway.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) person: Option<&'a Person>,
    pub(super) body: Option<Value>,
}

/// Why there is no answer.
enum Failure {
    /// The gateway has not seen the request.
    Refused,
    /// The connection was closed before anything was answered, in the instant in which the gateway
    /// closed its door.
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

    /// What the check of the gateway's health has found.
    pub(super) fn note(&self, gateway: usize, health: Health) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)[gateway] = health;
    }

    fn health(&self, gateway: usize) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)[gateway]
    }

    /// Whether the gateway was about to stop already at that time.
    pub(super) fn was_leaving(&self, gateway: usize, at: Instant) -> bool {
        match self.health(gateway) {
            Health::Ready => false,
            Health::LeavingSince(since) => since <= at,
            Health::Away => true,
        }
    }

    /// Every gateway that may be asked, beginning with the one whose turn it is.
    pub(super) fn gateways(&self) -> impl Iterator<Item = usize> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..REPLICAS).map(move |offset| (first + offset) % REPLICAS);
        in_turn.filter(|&gateway| !matches!(self.health(gateway), Health::Away))
    }

    /// Has a call answered that may be repeated. No error of a server is ever seen.
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

    /// Reads something that exists.
    pub(super) async fn get(&self, person: &Person, path: &str) -> Value {
        let call = Call { method: Method::GET, path, person: Some(person), body: None };
        self.repeatable(&call).await.ok(200)
    }

    /// Makes a call that must not be repeated; without an answer its outcome is not known.
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
