//! A flood of log-ins from one address does not keep others out.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use parlance_client::{Client, Options, endpoints};
use parlance_devstack::{Stack, StackBuilder};

use crate::support::{Answer, PASSWORD, RECOVERY, eventually, fresh_name, on_own_stack, person};

/// The log-ins that the flood tries at the same time.
const TRIES: usize = 80;
/// The log-ins of somebody else during the flood.
const LOG_INS: usize = 10;
/// How many hashes of the flood a log-in may wait for: the one in progress, and some while it is on
/// its way to auth and back. In order of arrival it would wait for all that wait, 64 by default.
const MAX_WAITED_FOR: usize = 10;
/// The defaults of the gateway, which stacks for tests do not have.
const DEFAULT_LOG_INS_BURST: &str = "600";

/// Where requests come from.
struct Origin {
    client: Client,
    /// The value of `X-Forwarded-For`, if there is one.
    forwarded_for: Option<String>,
}

impl Origin {
    /// A local address of this machine.
    fn local(stack: &Stack, address: Ipv4Addr) -> Self {
        let options = Options { local_addresses: vec![address], ..Options::default() };
        let client = Client::with_options([stack.address("gateway", 0)], options);
        Self { client, forwarded_for: None }
    }

    /// An address behind a proxy on this machine.
    fn forwarded(stack: &Stack, address: String) -> Self {
        Self { client: Client::new(stack.address("gateway", 0)), forwarded_for: Some(address) }
    }

    async fn log_in(&self, username: &str, password: &str) -> Answer {
        let mut request = endpoints::login(username, password);
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        Answer(self.client.send(request).await.expect("the gateway answers"))
    }
}

/// Log-ins that fail, and what became of them.
#[derive(Default)]
struct Flood {
    is_over: AtomicBool,
    hashed: AtomicUsize,
    refused: AtomicUsize,
}

impl Flood {
    /// Tries one log-in after the other. Each has another name, because failures of one account make
    /// it wait.
    async fn run(&self, origin: Origin) {
        while !self.is_over.load(Ordering::Relaxed) {
            let answer = origin.log_in(&fresh_name(), "not the password").await;
            if answer.status == 401 {
                self.hashed.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            assert!(answer.status == 429 || answer.status == 503, "{answer:?}");
            assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            self.refused.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A stack on which one password is hashed at a time, which takes long enough for others to queue.
fn slow_stack() -> StackBuilder {
    let builder = Stack::builder().environment("auth", "HASH_THREADS", "1");
    builder.environment("auth", "BCRYPT_COST", "10")
}

/// Floods a stack from some addresses, and logs in again and again from another one.
async fn log_in_during_a_flood(stack: &Stack, flooding: impl Fn(usize) -> Origin, other: Origin) {
    let anna = person(stack).await;
    let flood = Flood::default();
    let tries = join_all((0..TRIES).map(|number| flood.run(flooding(number))));
    let log_ins = async {
        let is_full = async || flood.refused.load(Ordering::Relaxed) > 0;
        eventually(RECOVERY, "the flood has filled its share", is_full).await;
        let before = flood.hashed.load(Ordering::Relaxed);
        for _ in 0..LOG_INS {
            other.log_in(&anna.name, PASSWORD).await.ok(200);
        }
        let waited_for = flood.hashed.load(Ordering::Relaxed) - before;
        assert!(waited_for <= LOG_INS * MAX_WAITED_FOR, "{waited_for}");
        flood.is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(tries, log_ins);
    assert!(flood.hashed.into_inner() > 0, "the flood is served, too");
}

#[tokio::test]
async fn a_flood_from_one_address_refuses_no_log_in_from_another() {
    on_own_stack(slow_stack(), async |stack| {
        let flooding = |_| Origin::local(stack, Ipv4Addr::new(127, 0, 0, 2));
        log_in_during_a_flood(stack, flooding, Origin::local(stack, Ipv4Addr::LOCALHOST)).await;
    })
    .await;
}

#[tokio::test]
async fn a_flood_from_one_ipv6_network_refuses_no_log_in_from_another() {
    let builder = slow_stack().environment("gateway", "TRUSTED_PROXIES", "127.0.0.0/8");
    on_own_stack(builder, async |stack| {
        let flooding = |number| Origin::forwarded(stack, format!("2001:db8:0:1::{number:x}"));
        let other = Origin::forwarded(stack, "2001:db8:0:2::1".to_owned());
        log_in_during_a_flood(stack, flooding, other).await;
    })
    .await;
}

#[tokio::test]
async fn a_hundred_and_twenty_registrations_from_one_address_meet_no_limit() {
    let default = Stack::builder().environment("gateway", "LOG_INS_BURST", DEFAULT_LOG_INS_BURST);
    on_own_stack(default, async |stack| {
        let client = Client::new(stack.address("gateway", 0));
        let register = async |_| {
            let request = endpoints::register(&fresh_name(), PASSWORD);
            Answer(client.send(request).await.expect("the gateway answers")).ok(201);
        };
        stream::iter(0..120).for_each_concurrent(40, register).await;
    })
    .await;
}
