//! The rate of Postgres alone: `pgbench` on the stack's Postgres. Also prepares that Postgres for
//! measurements.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_devstack::{Postgres, Stack};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::process::Command;
use tokio::time::timeout;

use crate::load::CONTENT;

/// The database of the tables below.
const DATABASE: &str = "baseline";
/// The database of Parlance.
pub(crate) const PARLANCE: &str = "parlance";
/// Connections.
const CLIENTS: &str = "16";
const THREADS: &str = "2";
/// The WAL segments that Postgres keeps for reuse (`min_wal_size`).
const WAL_SEGMENTS: usize = 64;
/// Bounds the creation of the segments. A disk that needs longer is too slow for measurements.
const FILL_TIMEOUT: Duration = Duration::from_secs(120);
/// Bounds how long pgbench runs beyond its duration.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The least that a chat needs to store and number messages.
const TABLES: &str = "
    CREATE TABLE room_heads (room_id BIGINT PRIMARY KEY, last_seq BIGINT NOT NULL);
    CREATE TABLE messages (
        id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        room_id    BIGINT NOT NULL,
        seq        BIGINT NOT NULL,
        sender_id  BIGINT NOT NULL,
        content    TEXT NOT NULL,
        created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
        UNIQUE (room_id, seq)
    );
    CREATE TABLE single_rows (
        id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        room_id    BIGINT NOT NULL,
        sender_id  BIGINT NOT NULL,
        content    TEXT NOT NULL,
        created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
    );
    INSERT INTO room_heads VALUES (1, 0);";

/// A transaction that pgbench repeats.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    name: &'static str,
    text: String,
    database: &'static str,
}

impl Script {
    /// One message per transaction, with the next number of the only room.
    pub(crate) fn numbered_messages() -> Self {
        let text = format!(
            "BEGIN;
             UPDATE room_heads SET last_seq = last_seq + 1 WHERE room_id = 1
                 RETURNING last_seq AS seq \\gset
             INSERT INTO messages (room_id, seq, sender_id, content)
                 VALUES (1, :seq, :client_id, '{CONTENT}');
             COMMIT;"
        );
        Self { name: "numbered-messages", text, database: DATABASE }
    }

    /// One row per transaction, without a number, to one of this many rooms.
    pub(crate) fn single_rows(rooms: usize) -> Self {
        let text = format!(
            "\\set room random(1, {rooms})
             INSERT INTO single_rows (room_id, sender_id, content)
                 VALUES (:room, :client_id, '{CONTENT}');"
        );
        Self { name: "single-rows", text, database: DATABASE }
    }

    /// The newest messages of a room of Parlance before a `seq`, as its history reads them.
    pub(crate) fn history_page(room: i64, before_seq: i64) -> Self {
        let text = format!(
            "\\set room {room}
             SELECT id, room_id, seq, sender_id, sender_name, content,
                 created_at, updated_at, edited_at
             FROM messaging.messages
             WHERE room_id = :room AND seq < {before_seq} AND deleted_at IS NULL
             ORDER BY seq DESC LIMIT 50;"
        );
        Self { name: "history-page", text, database: PARLANCE }
    }

    /// Runs the script. Returns the transactions a second.
    pub(crate) async fn run(&self, stack: &Stack, duration: Duration) -> anyhow::Result<f64> {
        let file = stack.folder().join(format!("{}.sql", self.name));
        // pgbench reads a command only at the beginning of a line.
        let lines: Vec<&str> = self.text.lines().map(str::trim_start).collect();
        fs::write(&file, lines.join("\n") + "\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
        let mut pgbench = Command::from(stack.postgres().pgbench(self.database)?);
        pgbench
            .args(["--no-vacuum", "--protocol=prepared", "--client", CLIENTS, "--jobs", THREADS])
            .arg(format!("--time={}", duration.as_secs().max(1)))
            .arg("--file")
            .arg(&file)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(duration + EXIT_TIMEOUT, pgbench.output())
            .await
            .context("pgbench took too long")?;
        let output = output.context("cannot run pgbench")?;
        ensure!(
            output.status.success(),
            "pgbench failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        parse(&String::from_utf8_lossy(&output.stdout))
    }
}

/// Creates the tables that the scripts write to.
pub(crate) async fn create_tables(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect("postgres").await?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    connection.close().await?;
    let mut connection = postgres.connect(DATABASE).await?;
    connection.execute(TABLES).await?;
    Ok(connection.close().await?)
}

/// Brings the WAL into its state after some minutes of use, in which Postgres reuses segments.
/// Postgres fills a new segment with zeros when it is first needed, and all commits wait for that.
pub(crate) async fn fill_wal(postgres: &Postgres) -> anyhow::Result<()> {
    timeout(FILL_TIMEOUT, create_segments(postgres)).await.context("it took too long")?
}

async fn create_segments(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect(PARLANCE).await?;
    for _ in 0..WAL_SEGMENTS {
        // Postgres does not switch away from an empty segment.
        connection
            .execute("SELECT pg_logical_emit_message(FALSE, '', ''); SELECT pg_switch_wal();")
            .await?;
    }
    connection.execute("CHECKPOINT").await?;
    Ok(connection.close().await?)
}

/// Vacuums and analyses all tables and makes a checkpoint. Postgres would otherwise begin that by
/// itself during a measurement.
pub(crate) async fn settle(stack: &Stack) -> anyhow::Result<()> {
    for database in [DATABASE, PARLANCE] {
        let mut connection = stack.postgres().connect(database).await?;
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            connection.execute(statement).await?;
        }
        connection.close().await?;
    }
    Ok(())
}

/// Parses `tps = 1523.123456 (without initial connection time)`.
pub fn parse(output: &str) -> anyhow::Result<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("pgbench printed no rate: {output}"))
}
