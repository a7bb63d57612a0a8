//! The tail: reads from the store what was committed lately, and tells the gateways of heads they
//! have not heard of.
//!
//! Redis is a hint; the table `batches` is the truth. A crash between commit and publication, a
//! lost connection, a Redis that is away, a lagging listener: all of them heal here, within two
//! intervals.

use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::Counter;
use parlance_runtime::Lifecycle;
use parlance_runtime::error::chain;
use sqlx::PgPool;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::gateways::Gateways;
use crate::store::{batches, messages, room_heads};

/// How long a look at the store may take.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// Rows live ten minutes; after half of that without a look, all heads are compared instead.
const TRUSTED_GAP: Duration = Duration::from_secs(300);
const FORGET_INTERVAL: Duration = Duration::from_secs(60);

/// Starts the tail, and the task that forgets what is old.
pub(crate) fn start(pool: PgPool, gateways: Gateways, every: Duration, lifecycle: &Lifecycle) {
    let heads = global::meter("parlance")
        .u64_counter("parlance.messaging.tail.heads")
        .with_description(
            "Rooms that had come further than this replica's gateways were told by events.",
        )
        .build();
    lifecycle.spawn_task("tail", Tail { pool: pool.clone(), gateways, heads }.follow(every));
    lifecycle.spawn_task("forget what is old", forget_forever(pool));
}

struct Tail {
    pool: PgPool,
    gateways: Gateways,
    /// Those that only a look has told.
    heads: Counter<u64>,
}

impl Tail {
    async fn follow(self, every: Duration) -> anyhow::Result<()> {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut cursor: Option<i64> = None;
        let mut last_look = Instant::now();
        loop {
            ticks.tick().await;
            let known_cursor = cursor.filter(|_| last_look.elapsed() < TRUSTED_GAP);
            match tokio::time::timeout(LOOK_LIMIT, self.look(known_cursor)).await {
                Ok(Ok(next_cursor)) => {
                    cursor = Some(next_cursor);
                    last_look = Instant::now();
                }
                Ok(Err(error)) => {
                    tracing::warn!(error = chain(&error), "the tail could not read the store")
                }
                Err(_) => tracing::warn!("the tail could not read the store in time"),
            }
        }
    }

    /// Looks once, from the cursor or, without one, at the heads of all rooms somebody listens to;
    /// the next cursor.
    async fn look(&self, cursor: Option<i64>) -> sqlx::Result<i64> {
        let mut conn = self.pool.acquire().await?;
        let (heads, next_cursor) = match cursor {
            None => {
                let next_cursor = batches::present_cursor(&mut conn).await?;
                (room_heads::read(&mut *conn, &self.gateways.rooms()).await?, next_cursor)
            }
            Some(cursor) => {
                let news = batches::read_from(&mut conn, cursor).await?;
                (news.heads, news.next_cursor)
            }
        };
        self.heads.add(self.gateways.deliver_heads(heads) as u64, &[]);
        Ok(next_cursor)
    }
}

async fn forget_forever(pool: PgPool) -> anyhow::Result<()> {
    let mut ticks = interval(FORGET_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::time::timeout(LOOK_LIMIT, forget(&pool)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = chain(&error), "what is old could not be forgotten")
            }
            Err(_) => tracing::warn!("what is old could not be forgotten in time"),
        }
    }
}

async fn forget(pool: &PgPool) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    batches::forget_old(&mut conn).await?;
    messages::forget_canaries(&mut conn).await
}
