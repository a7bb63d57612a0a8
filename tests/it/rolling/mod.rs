//! Rolling restarts, as in an update of a running installation, and the drain of a single process.

mod balancer;
mod certificates;
mod leaving;
mod readers;
mod sockets;
mod writers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parlance_devstack::{Stack, StackBuilder};

use self::balancer::{Balancer, Health};
use crate::support::{RESTART, make_room, on_own_stack, people, person};

/// The longest time from SIGTERM to the end of a process.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);
const PARTS: [&str; 5] = ["gateway", "auth", "contacts", "rooms", "messaging"];
const REPLICAS: usize = 2;
const OLD_TOKEN: &str = "the-old-token-of-the-parts";
const NEW_TOKEN: &str = "the-new-token-of-the-parts";

/// The context of the simulated clients.
struct Load<'a> {
    stack: &'a Stack,
    balancer: Balancer,
    is_over: AtomicBool,
}

impl<'a> Load<'a> {
    fn on(stack: &'a Stack) -> Self {
        Self { stack, balancer: Balancer::new(stack), is_over: AtomicBool::new(false) }
    }

    /// Keeps the load running until `work` is done.
    async fn during(&self, work: impl Future<Output = ()>) {
        work.await;
        self.is_over.store(true, Ordering::Relaxed);
    }

    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed)
    }
}

/// A stack whose processes have the same time to drain.
fn draining_stack(replicas: usize, gateways: usize) -> StackBuilder {
    let seconds = DRAIN_TIMEOUT.as_secs().to_string();
    let builder = Stack::builder().replicas(replicas).gateways(gateways);
    PARTS.iter().fold(builder, |builder, part| builder.environment(part, "DRAIN_TIMEOUT", &seconds))
}

/// Restarts every process with SIGTERM, one after the other.
async fn restart_all(load: &Load<'_>) {
    for part in PARTS {
        for index in 0..REPLICAS {
            restart(load, part, index).await;
        }
    }
}

/// Replaces the internal token as the operations guide says, with three rounds of restarts.
async fn replace_internal_token(load: &Load<'_>) {
    for tokens in [
        format!("{OLD_TOKEN},{NEW_TOKEN}"),
        format!("{NEW_TOKEN},{OLD_TOKEN}"),
        NEW_TOKEN.to_owned(),
    ] {
        for part in PARTS {
            for index in 0..REPLICAS {
                load.stack.process(part, index).set_environment("INTERNAL_TOKEN", &tokens);
            }
        }
        restart_all(load).await;
    }
}

async fn restart(load: &Load<'_>, part: &str, index: usize) {
    let note = |health| {
        if part == "gateway" {
            load.balancer.note(index, health);
        }
    };
    let process = load.stack.process(part, index);
    note(Health::LeavingSince(Instant::now()));
    process.terminate().unwrap();
    let status = process.wait(DRAIN_TIMEOUT).await.unwrap();
    assert!(status.success(), "{}: {status}", process.name());
    note(Health::Away);
    process.restart(RESTART).await.unwrap();
    note(Health::Ready);
}

#[tokio::test]
async fn rolling_restarts_lose_and_repeat_nothing() {
    on_own_stack(draining_stack(REPLICAS, REPLICAS), async |stack| {
        let [anna, ben, carl] = people(stack).await;
        let quiet_room = make_room(&anna, &[&ben]).await;
        anna.send_message(quiet_room, "Hello").await;
        let busy_rooms = [
            make_room(&anna, &[&carl]).await,
            make_room(&anna, &[]).await,
            make_room(&anna, &[]).await,
        ];

        let load = Load::on(stack);
        let reading = join_all(
            [(&anna, &ben), (&ben, &anna)]
                .map(|(reader, friend)| readers::read(&load, reader, friend, quiet_room)),
        );
        let writing = join_all((0..2).map(|_| writers::write(&load)));
        let talking = join_all(busy_rooms.map(|room| sockets::talk(&load, &anna, room)));
        tokio::join!(reading, writing, talking, load.during(restart_all(&load)));
    })
    .await;
}

#[tokio::test]
async fn replacing_the_internal_token_loses_repeats_and_refuses_nothing() {
    let builder = PARTS.iter().fold(draining_stack(REPLICAS, REPLICAS), |builder, part| {
        builder.environment(part, "INTERNAL_TOKEN", OLD_TOKEN)
    });
    on_own_stack(builder, async |stack| {
        let anna = person(stack).await;
        let rooms = [make_room(&anna, &[]).await, make_room(&anna, &[]).await];
        let load = Load::on(stack);
        let writing = writers::write(&load);
        let talking = join_all(rooms.map(|room| sockets::talk(&load, &anna, room)));
        tokio::join!(writing, talking, load.during(replace_internal_token(&load)));
    })
    .await;
}
