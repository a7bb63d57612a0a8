//! Redis Cluster, Redis Sentinel and the scheme of Valkey.

use std::time::Duration;

use parlance_devstack::{Sentinel, TemporaryFolder, free_port, random_secret};
use parlance_testkit::{start_redis, start_redis_as, start_redis_cluster};
use tokio::time::Instant;

use crate::app::TestApp;
use crate::gateway::Gateway;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Stores messages at one replica until the event of one, not only its number, arrives at another.
async fn wait_until_redis_delivers(sender: &mut Gateway, receiver: &mut Gateway, room_id: i64) {
    let begin = Instant::now();
    loop {
        let key = format!("g:{}", begin.elapsed().as_nanos());
        let seq = sender.store(room_id, &key).await.seq;
        receiver.wait_for_last_seq_or_event(room_id, seq).await;
        let is_it =
            |event: &parlance_proto::messaging::Event| event.room_id == room_id && event.seq == seq;
        if receiver.received.events.iter().any(is_it) {
            return;
        }
        assert!(begin.elapsed() < TIMEOUT, "Redis delivers nothing in room {room_id}");
    }
}

#[tokio::test]
async fn events_reach_other_replicas_through_every_node_of_a_cluster() {
    let nodes = start_redis_cluster().await.unwrap();
    let url = nodes[0].server.url().replacen("redis://", "redis-cluster://", 1);
    let here = TestApp::start_at(&url).await;
    let there = here.replica().await;
    let (mut sender, mut receiver) = (here.attach().await, there.attach().await);
    // Their slots belong to different nodes.
    for _ in 0..12 {
        let room_id = here.rooms.room().await;
        receiver.subscribe(room_id, crate::app::OWNER).await.unwrap();
        wait_until_redis_delivers(&mut sender, &mut receiver, room_id).await;
    }
    for node in &nodes {
        let channels = node.server.operate("PUBSUB SHARDCHANNELS room:*").await.unwrap();
        assert!(!channels.starts_with("*0"), "a node has no subscription");
    }
}

#[tokio::test]
async fn messaging_follows_a_failover_of_sentinel() {
    let folder = TemporaryFolder::new().unwrap();
    let password = random_secret();
    let primary = start_redis_as(parlance_devstack::RedisRole::Alone, password.clone()).await;
    let primary = primary.unwrap();
    let replica = start_redis_as(primary.server.replica(), password).await.unwrap();
    let sentinel =
        Sentinel::start(&primary.server, folder.path(), free_port().unwrap()).await.unwrap();
    let here = TestApp::start_at(&sentinel.url(&primary.server)).await;
    let there = here.replica().await;
    let room_id = here.rooms.room().await;
    let (mut sender, mut receiver) = (here.attach().await, there.attach_to(room_id).await);
    wait_until_redis_delivers(&mut sender, &mut receiver, room_id).await;

    // The sentinel learns of the replica from the primary.
    let begin = Instant::now();
    while !primary.server.operate("INFO replication").await.unwrap().contains("state=online") {
        assert!(begin.elapsed() < TIMEOUT, "the replica does not replicate");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_secs(11)).await;
    primary.server.process().kill().await.unwrap();
    wait_until_redis_delivers(&mut sender, &mut receiver, room_id).await;
    let info = replica.server.operate("INFO replication").await.unwrap();
    assert!(info.contains("role:master"), "{info}");
}

#[tokio::test]
async fn the_scheme_of_valkey_is_understood() {
    let redis = start_redis().await.unwrap();
    let url = redis.server.url().replacen("redis://", "valkey://", 1);
    let here = TestApp::start_at(&url).await;
    let there = here.replica().await;
    let room_id = here.rooms.room().await;
    let (mut sender, mut receiver) = (here.attach().await, there.attach_to(room_id).await);
    wait_until_redis_delivers(&mut sender, &mut receiver, room_id).await;
}
