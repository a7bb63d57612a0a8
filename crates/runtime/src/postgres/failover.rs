//! Gives no id and no number out twice after a failover.
//!
//! A standby that is promoted may lack the newest commits, whose ids and numbers clients know. So
//! nothing is read or written on a server, or on a timeline, that the schema does not know: the
//! pool refuses its connections until all ids and numbers were raised above any that can have been
//! lost. A connection that was made before stays on its server: a failover ends it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::connect::pool_with_check;
use super::patience::with_patient_session;
use super::pool::Pool;
use crate::Lifecycle;
use crate::config::PostgresConfig;

const RETRY_BACKOFF: Duration = Duration::from_millis(500);
/// The system identifier and the timeline of the server of a session. The timeline is that of the
/// WAL that is being written: the control file learns of a promotion only with a later checkpoint.
const THIS_SERVER: &str = "
    SELECT system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8)
    FROM pg_control_system()";
/// Far more ids than commits that can be lost. `$1` is the schema.
const RAISE_IDS: &str = "
    SELECT setval(
        format('%I.%I', schemaname, sequencename)::REGCLASS,
        coalesce(last_value, 0) + 1000000000
    )
    FROM pg_sequences
    WHERE schemaname = $1";

/// What identifies a server and its timeline.
type Server = (i64, String);

/// A schema, and how to bring it above what may have been lost.
#[derive(Clone, Debug)]
pub struct FailoverGuard {
    service: &'static str,
    config: PostgresConfig,
    raise: &'static str,
    was_refused: Arc<Notify>,
}

impl FailoverGuard {
    /// Waits until the schema `service` knows the present server in its table `server`, and starts
    /// a task that makes another one known to it. The task first raises all ids of the schema, and
    /// runs the statement `raise`, if commits may have been lost.
    pub async fn start(
        service: &'static str,
        config: &PostgresConfig,
        raise: &'static str,
        lifecycle: &Lifecycle,
    ) -> Self {
        let was_refused = Arc::new(Notify::new());
        let guard = Self { service, config: config.clone(), raise, was_refused };
        guard.adopt_with_retries().await;
        let adopter = guard.clone();
        lifecycle.spawn_task("failover", async move {
            loop {
                adopter.was_refused.notified().await;
                adopter.adopt_with_retries().await;
            }
        });
        guard
    }

    /// Returns a pool like [`pool`](super::pool) that connects only to a server that the schema
    /// knows.
    pub fn pool(&self, name: &'static str, config: &PostgresConfig) -> anyhow::Result<Pool> {
        let guard = self.clone();
        pool_with_check(name, config, move |connection| {
            let guard = guard.clone();
            Box::pin(async move { guard.check(connection).await })
        })
    }

    async fn check(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let known = "SELECT system_id, timeline FROM {schema}.server";
        let is_known = self.statement(&format!("SELECT EXISTS ({THIS_SERVER} INTERSECT {known})"));
        if sqlx::query_scalar(is_known).fetch_one(connection).await? {
            return Ok(());
        }
        self.was_refused.notify_one();
        let text = "ids have to be raised first: the server is another one, or was promoted";
        Err(sqlx::Error::Protocol(text.to_owned()))
    }

    async fn adopt_with_retries(&self) {
        let adopt = |connection| self.adopt(connection);
        while let Err(error) = with_patient_session(self.service, &self.config, adopt).await {
            tracing::warn!(
                error = format!("{error:#}"),
                "cannot make the server of the database known; retrying"
            );
            sleep(RETRY_BACKOFF).await;
        }
    }

    /// Makes the server known. Raising the numbers of ten million rooms takes minutes.
    async fn adopt(&self, mut connection: PgConnection) -> anyhow::Result<()> {
        let mut transaction = connection.begin().await?;
        // Of several replicas one raises the numbers, and the others wait for it.
        let lock = self.statement("LOCK TABLE {schema}.server IN EXCLUSIVE MODE");
        transaction.execute(lock).await?;
        let this: Server = sqlx::query_as(THIS_SERVER).fetch_one(&mut *transaction).await?;
        let known = self.statement("SELECT system_id, timeline FROM {schema}.server");
        let known: Option<Server> = sqlx::query_as(known).fetch_optional(&mut *transaction).await?;
        if known.as_ref() == Some(&this) {
            return Ok(());
        }
        if let Some(known) = known {
            self.raise(&mut transaction, &known, &this).await?;
        }
        transaction.execute(self.statement("DELETE FROM {schema}.server")).await?;
        let insert = self.statement("INSERT INTO {schema}.server VALUES ($1, $2)");
        sqlx::query(insert).bind(this.0).bind(this.1).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn raise(
        &self,
        connection: &mut PgConnection,
        known: &Server,
        this: &Server,
    ) -> anyhow::Result<()> {
        let is_same_system = known.0 == this.0;
        if is_same_system && self.config.standby_is_synchronous {
            tracing::warn!(timeline = this.1, "the database failed over; no commit was lost");
            return Ok(());
        }
        tracing::warn!(
            timeline = this.1,
            "the database failed over or was restored, and may have lost commits; raising all ids"
        );
        sqlx::query(RAISE_IDS).bind(self.service).execute(&mut *connection).await?;
        sqlx::raw_sql(self.raise).execute(connection).await?;
        Ok(())
    }

    /// The name of the schema is the name of the service, which comes from its code.
    fn statement(&self, template: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(template.replace("{schema}", self.service))
    }
}
