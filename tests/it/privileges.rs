//! The privileges of each part in Postgres and Redis: only those that it needs.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{eventually, make_room, people, stack};

const SERVICES: [&str; 4] = ["auth", "contacts", "rooms", "messaging"];
/// The SQLSTATE `insufficient_privilege`.
const NO_PRIVILEGE: Option<&str> = Some("42501");

/// Connects with the role of a service.
async fn log_in(role: &str) -> PgConnection {
    PgConnection::connect(&stack().await.role_url(role).unwrap()).await.unwrap()
}

/// Runs a statement. Returns the SQLSTATE of its error, if any.
async fn sqlstate(connection: &mut PgConnection, statement: &str) -> Option<String> {
    let result = connection.execute(AssertSqlSafe(statement.to_owned())).await;
    result.err().map(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
}

async fn names(statement: &'static str, schema: &str) -> Vec<String> {
    let mut superuser = stack().await.postgres().connect("parlance").await.unwrap();
    sqlx::query_scalar(statement).bind(schema).fetch_all(&mut superuser).await.unwrap()
}

/// The qualified names of the tables of a schema.
async fn tables(schema: &str) -> Vec<String> {
    names(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = $1",
        schema,
    )
    .await
}

#[tokio::test]
async fn a_role_reads_and_writes_in_its_own_schema_and_in_no_other() {
    for role in SERVICES {
        let mut connection = log_in(role).await;
        for schema in SERVICES {
            let tables = tables(schema).await;
            assert!(tables.len() > 1, "{schema}");
            for table in tables {
                for statement in [
                    format!("SELECT count(*) FROM {table}"),
                    format!("COPY {table} TO STDOUT"),
                    format!("DELETE FROM {table} WHERE FALSE"),
                    format!("TRUNCATE {table}"),
                    format!("DROP TABLE {table}"),
                ] {
                    let is_harmless =
                        statement.starts_with("SELECT") || statement.starts_with("DELETE");
                    if role == schema && !is_harmless {
                        continue;
                    }
                    let expected = if role == schema { None } else { NO_PRIVILEGE };
                    let error = sqlstate(&mut connection, &statement).await;
                    assert_eq!(error.as_deref(), expected, "{role}: {statement}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_transaction_that_a_service_has_left_open_ends() {
    for role in SERVICES {
        let timeout: String = sqlx::query_scalar("SHOW idle_in_transaction_session_timeout")
            .fetch_one(&mut log_in(role).await)
            .await
            .unwrap();
        assert_eq!(timeout, "10s", "{role}");
    }
}

#[tokio::test]
async fn a_role_calls_functions_of_its_own_schema_and_of_no_other() {
    let calls_of = async |schema: &str| {
        names(
            "SELECT format(
                 'SELECT %I.%I(%s)', nspname, proname,
                 array_to_string(array_fill('NULL'::TEXT, ARRAY[pronargs::INT]), ', ')
             )
             FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace
             WHERE nspname = $1 AND prorettype <> 'trigger'::regtype",
            schema,
        )
        .await
    };
    assert!(!calls_of("messaging").await.is_empty());
    for (role, schema) in pairs() {
        let mut connection = log_in(role).await;
        for call in calls_of(schema).await {
            assert_eq!(
                sqlstate(&mut connection, &call).await.as_deref(),
                NO_PRIVILEGE,
                "{role}: {call}"
            );
        }
    }
}

#[tokio::test]
async fn a_role_cannot_create_or_alter_outside_its_schema() {
    for (role, other) in pairs() {
        let mut connection = log_in(role).await;
        for statement in [
            "CREATE SCHEMA more",
            "CREATE ROLE more",
            "CREATE DATABASE more",
            "CREATE TABLE public.more (id BIGINT)",
            "CREATE TEMPORARY TABLE more (id BIGINT)",
            "ALTER DATABASE parlance SET work_mem = '1GB'",
            "ALTER SYSTEM SET work_mem = '1GB'",
            "SELECT * FROM pg_authid",
            "SELECT pg_read_file('postgresql.conf')",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            &format!("CREATE TABLE {other}.more (id BIGINT)"),
            &format!("DROP SCHEMA {other} CASCADE"),
            &format!("ALTER SCHEMA {other} OWNER TO {role}"),
            &format!("GRANT USAGE ON SCHEMA {other} TO {role}"),
            &format!("SET ROLE {other}"),
            &format!("GRANT {other} TO {role}"),
            &format!("ALTER ROLE {other} PASSWORD 'known'"),
            &format!("ALTER ROLE {role} SUPERUSER"),
        ] {
            assert_eq!(
                sqlstate(&mut connection, statement).await.as_deref(),
                NO_PRIVILEGE,
                "{role}: {statement}"
            );
        }
    }
}

/// The services made their schemas when they started on an empty database.
#[tokio::test]
async fn a_role_owns_all_of_its_schema_and_nothing_else() {
    let mut superuser = stack().await.postgres().connect("parlance").await.unwrap();
    let owned: Vec<(String, String)> = sqlx::query_as(
        "WITH objects (owner, namespace) AS (
             SELECT relowner, relnamespace FROM pg_class
             UNION SELECT proowner, pronamespace FROM pg_proc
             UNION SELECT typowner, typnamespace FROM pg_type
             UNION SELECT nspowner, oid FROM pg_namespace
         )
         SELECT rolname::TEXT, nspname::TEXT
         FROM objects
         JOIN pg_roles ON pg_roles.oid = owner
         JOIN pg_namespace ON pg_namespace.oid = namespace
         WHERE (rolname = ANY ($1) OR nspname = ANY ($1)) AND nspname <> 'pg_toast'
         ORDER BY 1, 2",
    )
    .bind(SERVICES.map(str::to_owned))
    .fetch_all(&mut superuser)
    .await
    .unwrap();
    let mut expected = SERVICES.map(|service| (service.to_owned(), service.to_owned()));
    expected.sort();
    assert_eq!(owned, expected);
}

#[tokio::test]
async fn messaging_sends_redis_only_permitted_commands() {
    let stack = stack().await;
    let [anna, ben] = people(stack).await;
    let room = make_room(&anna, &[&ben]).await;
    let mut bens = ben.at(stack, 1).subscribed(room).await;
    anna.send_message(room, "Hello").await;
    assert_eq!(bens.next().await["message"]["content"], "Hello");
    eventually(Duration::from_secs(10), "a publication comes back", async || {
        let replicas = [
            stack.metrics("messaging", 0).await.unwrap(),
            stack.metrics("messaging", 1).await.unwrap(),
        ];
        replicas.iter().flat_map(|metrics| metrics.lines()).any(|line| {
            line.starts_with("parlance_messaging_redis_lag_seconds_count") && !line.ends_with(" 0")
        })
    })
    .await;
    assert_eq!(redis_refusals().await, "*0\r\n");
}

/// The commands that Redis has refused, from its `INFO`.
async fn redis_refusals() -> String {
    let url = stack().await.redis().operator_url();
    let (login, address) = url.strip_prefix("redis://").unwrap().split_once('@').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let lines = format!("AUTH {}\r\nACL LOG\r\nQUIT\r\n", login.replace(':', " "));
    stream.write_all(lines.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.strip_prefix("+OK\r\n").unwrap().strip_suffix("+OK\r\n").unwrap().to_owned()
}

/// All pairs of different services.
fn pairs() -> impl Iterator<Item = (&'static str, &'static str)> {
    let pairs = SERVICES.into_iter().flat_map(|role| SERVICES.map(|other| (role, other)));
    pairs.filter(|(role, other)| role != other)
}
