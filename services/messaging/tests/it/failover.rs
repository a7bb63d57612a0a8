//! A standby of Postgres takes over.

use parlance_devstack::Postgres;
use parlance_testkit::{InFolder, Network, start_postgres, start_standby};
use sqlx::{Executor, PgConnection};

use crate::app::{OWNER, Rooms, TestApp, eventually};
use crate::gateway::Gateway;

/// The distance by which all numbers are raised.
const DISTANCE: i64 = 100_000_000;

/// A replica that reaches Postgres by an address that can lead to the standby.
struct Setup {
    primary: InFolder<Postgres>,
    standby: InFolder<Postgres>,
    network: Network,
    app: TestApp,
}

impl Setup {
    async fn start(standby_is_synchronous: bool) -> Self {
        let (rooms, primary) = tokio::join!(Rooms::start(), start_postgres());
        let primary = primary.unwrap();
        let standby = start_standby(&primary.server).await.unwrap();
        let network = Network::to(primary.server.address()).await.unwrap();
        let url = network.url(&primary.server.url("postgres"));
        let app = TestApp::start_before_failover(&url, standby_is_synchronous, &rooms).await;
        Self { primary, standby, network, app }
    }

    /// Waits until the standby has all commits.
    async fn wait_for_standby(&self) {
        let mut primary = self.primary.server.connect("postgres").await.unwrap();
        eventually("the standby has caught up", async || {
            let behind = "SELECT count(*) FROM pg_stat_replication
                 WHERE replay_lsn >= pg_current_wal_lsn()";
            sqlx::query_scalar::<_, i64>(behind).fetch_one(&mut primary).await.unwrap() == 1
        })
        .await;
    }

    /// Lets the standby lose every later commit.
    async fn cut_off_standby(&self) {
        let mut standby = self.connect_to_standby().await;
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
        standby.execute("SELECT pg_reload_conf()").await.unwrap();
        eventually("the standby receives nothing", async || {
            let receivers = "SELECT count(*) FROM pg_stat_wal_receiver";
            sqlx::query_scalar::<_, i64>(receivers).fetch_one(&mut standby).await.unwrap() == 0
        })
        .await;
    }

    async fn fail_over(&self) {
        self.network.vanish();
        self.connect_to_standby().await.execute("SELECT pg_promote()").await.unwrap();
        self.network.lead_to(self.standby.server.address());
    }

    async fn connect_to_standby(&self) -> PgConnection {
        self.standby.server.connect("postgres").await.unwrap()
    }

    /// Stores a message as soon as the database can be reached.
    async fn store_after_failover(&self, gateway: &mut Gateway, room_id: i64) -> (i64, i64) {
        let mut stored = None;
        eventually("a message is stored", async || {
            let sent = gateway.send(room_id, OWNER, "g:after", "after").await;
            stored = sent.ok().and_then(|sent| sent.message).map(|sent| (sent.id, sent.seq));
            stored.is_some()
        })
        .await;
        stored.unwrap()
    }
}

#[tokio::test]
async fn a_standby_that_lost_commits_gives_no_number_out_twice() {
    let setup = Box::pin(Setup::start(false)).await;
    let (room_id, lost_room) = (setup.app.rooms.room().await, setup.app.rooms.room().await);
    let mut gateway = setup.app.attach_to(room_id).await;
    assert_eq!(gateway.store(room_id, "g:1").await.seq, 1);
    setup.wait_for_standby().await;
    setup.cut_off_standby().await;
    let lost = gateway.store(room_id, "g:lost").await;
    assert_eq!(lost.seq, 2);
    assert_eq!(gateway.store(lost_room, "g:lost").await.seq, 1);

    setup.fail_over().await;
    let (id, seq) = setup.store_after_failover(&mut gateway, room_id).await;
    assert_eq!(seq, DISTANCE + 2);
    assert!(id > lost.id + 1, "{id}");
    gateway.wait_for_event(room_id, seq).await;
    // The standby does not know that this room had a message. It begins above all others.
    let (_, first) = setup.store_after_failover(&mut gateway, lost_room).await;
    assert_eq!(first, DISTANCE + 2);
    let contents: Vec<String> =
        setup.app.whole_history(room_id).await.into_iter().map(|stored| stored.content).collect();
    assert_eq!(contents, ["g:1", "after"]);
}

#[tokio::test]
async fn a_synchronous_standby_goes_on_with_the_next_number() {
    let setup = Box::pin(Setup::start(true)).await;
    let room_id = setup.app.rooms.room().await;
    let mut gateway = setup.app.attach_to(room_id).await;
    gateway.store(room_id, "g:1").await;
    setup.wait_for_standby().await;
    setup.fail_over().await;
    assert_eq!(setup.store_after_failover(&mut gateway, room_id).await.1, 2);
}

#[tokio::test]
async fn commits_on_another_timeline_are_found_without_redis() {
    let setup = Box::pin(Setup::start(false)).await;
    let room_id = setup.app.rooms.room().await;
    let offline = setup.app.replica_without_redis().await;
    let (mut gateway, mut sender) = (offline.attach_to(room_id).await, setup.app.attach().await);
    sender.store(room_id, "g:1").await;
    gateway.wait_for_last_seq(room_id, 1).await;
    setup.wait_for_standby().await;
    setup.cut_off_standby().await;
    // The transaction ids of these will be given out again.
    for number in 2..=20 {
        sender.store(room_id, &format!("g:{number}")).await;
    }
    gateway.wait_for_last_seq(room_id, 20).await;
    setup.fail_over().await;
    let (_, seq) = setup.store_after_failover(&mut sender, room_id).await;
    gateway.wait_for_last_seq(room_id, seq).await;
}
