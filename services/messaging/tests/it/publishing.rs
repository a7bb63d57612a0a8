//! Publications on Redis.

use fred::clients::SubscriberClient;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Builder;
use fred::types::config::Config;
use parlance_proto::messaging::PublishedEvents;
use parlance_testkit::start_redis;
use prost::Message as _;
use tokio::time::timeout;

use crate::app::{OWNER, TestApp, WAIT_TIMEOUT};
use crate::gateway::describe;

/// The length of the header of a publication in bytes.
const HEADER: usize = 16;

#[tokio::test]
async fn every_event_is_published_after_its_commit() {
    let redis = start_redis().await.unwrap();
    let app = TestApp::start_at(&redis.server.url()).await;
    let room_id = app.rooms.room().await;
    let config = Config::from_url(&redis.server.operator_url()).unwrap();
    let subscriber: SubscriberClient =
        Builder::from_config(config).build_subscriber_client().unwrap();
    subscriber.init().await.unwrap();
    let mut publications = subscriber.message_rx();
    subscriber.ssubscribe(format!("room:{room_id}")).await.unwrap();

    let mut gateway = app.attach().await;
    let message = gateway.store(room_id, "g:1").await;
    app.edit(OWNER, message.id, "edited").await.unwrap();
    gateway.show_typing(room_id, OWNER).await.unwrap();
    for expected in
        ["created g:1".to_owned(), "edited edited".to_owned(), format!("typing user{OWNER}")]
    {
        let publication = timeout(WAIT_TIMEOUT, publications.recv()).await.unwrap().unwrap();
        let payload = publication.value.as_bytes().unwrap();
        let published = PublishedEvents::decode(&payload[HEADER..]).unwrap();
        assert_eq!(published.events.iter().map(describe).collect::<Vec<_>>(), [expected]);
    }
}
