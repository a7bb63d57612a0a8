//! A Redis that can be reached and does not do its work counts as away.

use std::time::Duration;

use parlance_devstack::Redis;
use parlance_testkit::{InFolder, start_redis};
use tokio::time::Instant;

use crate::app::{OWNER, TestApp, eventually};
use crate::gateway::Gateway;

/// Below the time that a subscriber waits for Redis to confirm.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Two replicas, and a gateway at each.
struct Setup {
    redis: InFolder<Redis>,
    here: TestApp,
    _there: TestApp,
    sender: Gateway,
    receiver: Gateway,
    /// A room that the receiver subscribes to.
    room_id: i64,
    sent: i64,
}

impl Setup {
    async fn start() -> Self {
        let redis = start_redis().await.unwrap();
        let here = TestApp::start_at(&redis.server.url()).await;
        let there = here.replica().await;
        let room_id = here.rooms.room().await;
        let (sender, receiver) = (here.attach().await, there.attach_to(room_id).await);
        let mut setup = Self { redis, here, _there: there, sender, receiver, room_id, sent: 0 };
        setup.wait_until_redis_delivers().await;
        setup
    }

    /// Stores a message at one replica, and returns its number.
    async fn store(&mut self) -> i64 {
        self.sent += 1;
        self.sender.store(self.room_id, &format!("g:{}", self.sent)).await.seq
    }

    async fn wait_until_redis_delivers(&mut self) {
        let begin = Instant::now();
        loop {
            let seq = self.store().await;
            self.receiver.wait_for_last_seq_or_event(self.room_id, seq).await;
            if self.receiver.received.events.iter().any(|event| event.seq == seq) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "Redis delivers nothing");
        }
    }

    /// Waits until the first subscription of a room does not wait for Redis, and checks that
    /// messages arrive.
    async fn wait_until_redis_counts_as_away(&mut self) {
        let (rooms, receiver) = (self.here.rooms.clone(), &mut self.receiver);
        eventually("a subscription does not wait for Redis", async || {
            let room_id = rooms.room().await;
            let begin = Instant::now();
            receiver.subscribe(room_id, OWNER).await.unwrap();
            begin.elapsed() < AT_ONCE
        })
        .await;
        let seq = self.store().await;
        self.receiver.wait_for_last_seq_or_event(self.room_id, seq).await;
    }

    /// Runs a command as the user with all permissions.
    async fn operate(&self, command: &str) {
        self.redis.server.operate(command).await.unwrap();
    }
}

#[tokio::test]
async fn a_redis_that_hangs_counts_as_away_until_it_answers() {
    let mut setup = Box::pin(Setup::start()).await;
    setup.redis.server.process().pause().unwrap();
    setup.wait_until_redis_counts_as_away().await;
    setup.redis.server.process().resume().unwrap();
    setup.wait_until_redis_delivers().await;
}

#[tokio::test]
async fn a_redis_that_refuses_subscriptions_counts_as_away() {
    let mut setup = Box::pin(Setup::start()).await;
    setup.operate("ACL SETUSER messaging -ssubscribe").await;
    setup.wait_until_redis_counts_as_away().await;
    setup.operate("ACL SETUSER messaging +ssubscribe").await;
    setup.wait_until_redis_delivers().await;
}

#[tokio::test]
async fn a_redis_that_cuts_its_subscribers_again_and_again_counts_as_away() {
    let mut setup = Box::pin(Setup::start()).await;
    for _ in 0..8 {
        setup.operate("CLIENT KILL TYPE pubsub").await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    setup.wait_until_redis_counts_as_away().await;
    setup.wait_until_redis_delivers().await;
}
