//! What Postgres does when a program that does nothing else asks it: `pgbench`, on the stack's own
//! Postgres.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use parlance_devstack::{Postgres, Stack};
use sqlx::{AssertSqlSafe, Connection, Executor};
use tokio::process::Command;
use tokio::time::timeout;

use crate::load::CONTENT;

/// Of the tables below.
const DATABASE: &str = "yardstick";
/// Of Parlance's own.
const PARLANCE: &str = "parlance";
/// Connections at once.
const CLIENTS: &str = "16";
const THREADS: &str = "2";
/// As many files of the log as Postgres keeps to write again (`min_wal_size`).
const LOG_FILES: usize = 64;
/// How long it may take to make them; on a disk that takes this long nothing can be measured.
const FILL_DEADLINE: Duration = Duration::from_secs(120);
/// Beyond the time that it is to run.
const PATIENCE: Duration = Duration::from_secs(30);

/// No more than a chat needs that only stores and numbers.
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

/// What is asked again and again.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    name: &'static str,
    text: String,
    database: &'static str,
}

impl Script {
    /// One message per transaction, which takes the next number of the one room.
    pub(crate) fn numbered_messages() -> Self {
        let text = format!(
            "BEGIN;
             UPDATE room_heads SET last_seq = last_seq + 1 WHERE room_id = 1 RETURNING last_seq AS seq \\gset
             INSERT INTO messages (room_id, seq, sender_id, content) VALUES (1, :seq, :client_id, '{CONTENT}');
             COMMIT;"
        );
        Self { name: "numbered-messages", text, database: DATABASE }
    }

    /// One row per transaction, without a number, over so many rooms.
    pub(crate) fn single_rows(rooms: usize) -> Self {
        let text = format!(
            "\\set room random(1, {rooms})
             INSERT INTO single_rows (room_id, sender_id, content) VALUES (:room, :client_id, '{CONTENT}');"
        );
        Self { name: "single-rows", text, database: DATABASE }
    }

    /// The newest messages of a room of Parlance's own below a number, as its history reads them.
    pub(crate) fn page_of_history(room: i64, below: i64) -> Self {
        let text = format!(
            "\\set room {room}
             SELECT id, room_id, seq, sender_id, sender_name, content, created_at, updated_at, edited_at
             FROM messaging.messages
             WHERE room_id = :room AND seq < {below} AND deleted_at IS NULL
             ORDER BY seq DESC LIMIT 50;"
        );
        Self { name: "page-of-history", text, database: PARLANCE }
    }

    /// Runs it for a while; transactions a second.
    pub(crate) async fn run(&self, stack: &Stack, duration: Duration) -> anyhow::Result<f64> {
        let file = stack.folder().join(format!("{}.sql", self.name));
        // A command of pgbench begins at the margin.
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
        let output = timeout(duration + PATIENCE, pgbench.output())
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

/// Makes the tables that the scripts write to.
pub(crate) async fn prepare(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect("postgres").await?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {DATABASE}"))).await?;
    connection.close().await?;
    let mut connection = postgres.connect(DATABASE).await?;
    connection.execute(TABLES).await?;
    Ok(connection.close().await?)
}

/// Where the tables for the scripts are.
pub(crate) fn database_url(stack: &Stack) -> String {
    stack.postgres().url(DATABASE)
}

/// Does what Postgres does by itself within a minute, so that it knows how many rows there are.
pub(crate) async fn analyze(stack: &Stack) -> anyhow::Result<()> {
    let mut connection = stack.postgres().connect(PARLANCE).await?;
    connection.execute("VACUUM (ANALYZE)").await?;
    Ok(connection.close().await?)
}

/// Brings the log into the state it has after some minutes of use: all its files are there and are
/// written again. A new one is filled with zeros when it is first needed, and all commits wait
/// meanwhile.
pub(crate) async fn fill_log(postgres: &Postgres) -> anyhow::Result<()> {
    timeout(FILL_DEADLINE, fill_log_in_time(postgres)).await.context("it took too long")?
}

async fn fill_log_in_time(postgres: &Postgres) -> anyhow::Result<()> {
    let mut connection = postgres.connect(PARLANCE).await?;
    for _ in 0..LOG_FILES {
        // A file in which nothing was written is not left for the next.
        connection
            .execute("SELECT pg_logical_emit_message(FALSE, '', ''); SELECT pg_switch_wal();")
            .await?;
    }
    connection.execute("CHECKPOINT").await?;
    Ok(connection.close().await?)
}

/// Does what Postgres does by itself within minutes, so that it does none of it during what is
/// measured: room is made of rows that are gone, and the log is written again from its beginning.
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

/// Such as `tps = 1523.123456 (without initial connection time)`.
fn parse(output: &str) -> anyhow::Result<f64> {
    let line = output.lines().find_map(|line| line.strip_prefix("tps = "));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("pgbench did not say how fast it was: {output}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_is_found_in_the_output() {
        let output = "latency average = 3.2 ms\ninitial connection time = 30 ms\n\
                      tps = 5012.345678 (without initial connection time)\n";
        assert_eq!(parse(output).unwrap(), 5_012.345_678);
        assert!(parse("pgbench: error").is_err());
    }
}
