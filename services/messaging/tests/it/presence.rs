//! What a replica tells others over Redis depends on whether there are any.

use fred::clients::SubscriberClient;
use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::Builder;
use fred::types::Message;
use fred::types::config::Config;
use parlance_devstack::testing::start_redis;
use parlance_proto::messaging::PublishedEvents;
use prost::Message as _;
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::app::{OWNER, PATIENCE, TestApp, eventually};
use crate::link::{Link, tells};

/// What comes before the events of a publication, in bytes.
const HEAD: usize = 16;

/// Hears what is published about a room, and is no replica.
struct Ear {
    _client: SubscriberClient,
    messages: Receiver<Message>,
}

impl Ear {
    async fn at(redis_url: &str, room_id: i64) -> Self {
        let client =
            Builder::from_config(Config::from_url(redis_url).unwrap()).build_subscriber_client();
        let client = client.unwrap();
        client.init().await.unwrap();
        let messages = client.message_rx();
        client.ssubscribe(format!("room:{room_id}")).await.unwrap();
        Self { _client: client, messages }
    }

    /// What is told next.
    async fn hear(&mut self) -> String {
        let message = timeout(PATIENCE, self.messages.recv()).await.unwrap().unwrap();
        let published =
            PublishedEvents::decode(&message.value.as_bytes().unwrap()[HEAD..]).unwrap();
        tells(&published.events[0])
    }

    /// Whether a message that is stored now is published. A sign of typing always is, and comes
    /// behind.
    async fn hears_of_a_message(&mut self, link: &mut Link, room_id: i64, key: &str) -> bool {
        link.store(room_id, key).await;
        link.show_typing(room_id, OWNER).await.unwrap();
        let typing = format!("typing user{OWNER}");
        let first = self.hear().await;
        if first == typing {
            return false;
        }
        assert_eq!((first, self.hear().await), (format!("created {key}"), typing));
        true
    }
}

#[tokio::test]
async fn what_is_stored_is_published_unless_there_is_no_other_replica() {
    let redis = start_redis().await.unwrap();
    let app = TestApp::start_at(&redis.server.url()).await;
    let room_id = app.rooms.room().await;
    let mut link = app.attach().await;
    let mut ear = Ear::at(&redis.server.operator_url(), room_id).await;
    let mut keys = (0..).map(|number| format!("g:{number}"));
    let mut is_published = async || {
        let key = keys.next().unwrap();
        ear.hears_of_a_message(&mut link, room_id, &key).await
    };

    eventually("nothing is published any more", async || !is_published().await).await;
    let other = app.replica().await;
    let mut elsewhere = other.attach_to(room_id).await;
    eventually("what is stored is published", async || is_published().await).await;
    let last_seq = i64::try_from(app.whole_history(room_id).await.len()).unwrap();
    elsewhere.event(room_id, last_seq).await;
}
