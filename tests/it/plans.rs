//! The plans of the services' statements. Postgres makes a generic plan once for each connection;
//! it must stay good while the tables grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use parlance_runtime::config::PostgresConfig;
use parlance_runtime::postgres;
use parlance_testkit::fresh_database;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::migrate;

/// The tables and indexes that a statement may scan as a whole.
const READ_AS_A_WHOLE: [(&str, &str); 8] = [
    // Reads whether the table has a row.
    ("contacts", "outbox_claimed_until"),
    // Has one row.
    ("auth", "access_revision"),
    ("rooms", "membership_log_floor"),
    // Has a few rows.
    ("auth", "signing_keys"),
    // A partial index with only the wanted rows.
    ("auth", "signing_keys_newest"),
    ("auth", "users_inactive"),
    // Reads the oldest rows up to a limit.
    ("rooms", "membership_log_pkey"),
    // Reads the newest rows up to a limit.
    ("auth", "log_in_failures_last_failed_at"),
];

/// Inserts a row in each empty table.
const A_ROW_IN_EACH_TABLE: &str = "
    DO $$
    DECLARE
        v_table REGCLASS;
        v_check NAME;
        v_columns TEXT;
        v_values TEXT;
    BEGIN
        SET LOCAL session_replication_role = replica;
        FOR v_table IN
            SELECT oid
            FROM pg_class
            WHERE relkind = 'r'
                AND relnamespace::REGNAMESPACE::TEXT IN ('auth', 'contacts', 'rooms', 'messaging')
                AND relname <> '_sqlx_migrations'
        LOOP
            FOR v_check IN
                SELECT conname FROM pg_constraint WHERE conrelid = v_table AND contype = 'c'
            LOOP
                EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', v_table, v_check);
            END LOOP;
            SELECT
                string_agg(quote_ident(attname), ', '),
                string_agg(
                    CASE typcategory
                        WHEN 'D' THEN 'now()'
                        WHEN 'A' THEN quote_literal('{}')
                        ELSE quote_literal('1')
                    END,
                    ', '
                )
            INTO v_columns, v_values
            FROM pg_attribute
            JOIN pg_type ON pg_type.oid = atttypid
            WHERE attrelid = v_table AND attnum > 0 AND attgenerated = '';
            EXECUTE format(
                'INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s) ON CONFLICT DO NOTHING',
                v_table, v_columns, v_values
            );
        END LOOP;
    END
    $$";

fn config(database: &str) -> PostgresConfig {
    PostgresConfig {
        database_url: database.to_owned().into(),
        database_max_connections: 1,
        standby_is_synchronous: false,
    }
}

/// The statements of a service and the number of their parameters.
fn statements(service: &str) -> Vec<(String, usize)> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../services").join(service).join(".sqlx");
    let descriptions =
        fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let statements = descriptions.map(|description| {
        let description: Value = serde_json::from_slice(&description).unwrap();
        let parameters = description["describe"]["parameters"]["Left"].as_array().unwrap().len();
        (description["query"].as_str().unwrap().to_owned(), parameters)
    });
    statements.collect()
}

/// The generic plan of a statement.
async fn plan(connection: &mut PgConnection, statement: &str, parameters: usize) -> Value {
    connection.execute(AssertSqlSafe(format!("PREPARE statement AS {statement}"))).await.unwrap();
    let arguments = vec!["NULL"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({arguments})") };
    let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE statement{arguments}");
    let plan: Value =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
    connection.execute("DEALLOCATE statement").await.unwrap();
    plan[0]["Plan"].clone()
}

/// The tables and indexes that a plan scans as a whole.
fn read_as_a_whole(plan: &Value) -> Vec<String> {
    let name = |key: &str| plan[key].as_str().map(str::to_owned);
    let read = match plan["Node Type"].as_str().unwrap() {
        "Seq Scan" => name("Relation Name"),
        "Index Scan" | "Index Only Scan" if plan["Index Cond"].is_null() => name("Index Name"),
        _ => None,
    };
    let parts = plan["Plans"].as_array().into_iter().flatten();
    read.into_iter().chain(parts.flat_map(read_as_a_whole)).collect()
}

#[tokio::test]
async fn plans_made_on_empty_tables_use_indexes() {
    let database = fresh_database().await.unwrap();
    let mut superuser = PgConnection::connect(&database).await.unwrap();
    let mut seen = BTreeSet::new();
    for service in ["auth", "contacts", "rooms", "messaging"] {
        migrate(service, &database, &[]).await;
        let config = config(&database);
        let pool = postgres::pool(service, &config).unwrap();
        let mut connection = pool.acquire().await.unwrap();
        let statements = statements(service);
        assert!(!statements.is_empty(), "{service}");
        // Postgres assumes that a table that was never vacuumed has rows.
        for before in ["", "VACUUM ANALYZE", A_ROW_IN_EACH_TABLE] {
            superuser.execute(before).await.unwrap();
            if before == A_ROW_IN_EACH_TABLE {
                superuser.execute("VACUUM ANALYZE").await.unwrap();
            }
            for (statement, parameters) in &statements {
                let plan = plan(&mut connection, statement, *parameters).await;
                for name in read_as_a_whole(&plan) {
                    let is_meant = READ_AS_A_WHOLE.contains(&(service, &name));
                    assert!(is_meant, "{service} reads all of {name}:\n{statement}\n{plan:#}");
                    seen.insert((service, name));
                }
            }
        }
    }
    let meant: BTreeSet<_> =
        READ_AS_A_WHOLE.map(|(service, name)| (service, name.to_owned())).into();
    assert_eq!(seen, meant);
}

/// The indexes on text that is ordered by a collation of the C library or of ICU. When that library
/// changes, such an index no longer finds all of its entries.
const ORDERED_BY_A_LIBRARY: &str = "
    SELECT DISTINCT indexrelid::REGCLASS::TEXT
    FROM pg_index
    JOIN pg_class ON pg_class.oid = indrelid
    CROSS JOIN unnest(indcollation::OID[]) AS collation_id
    JOIN pg_collation ON pg_collation.oid = collation_id
    WHERE relnamespace::REGNAMESPACE::TEXT IN ('auth', 'contacts', 'rooms', 'messaging')
        AND collname <> 'C'";

#[tokio::test]
async fn text_keys_are_compared_by_bytes() {
    let database = fresh_database().await.unwrap();
    for service in ["auth", "contacts", "rooms", "messaging"] {
        migrate(service, &database, &[]).await;
    }
    let mut connection = PgConnection::connect(&database).await.unwrap();
    let ordered_by_a_library: Vec<String> =
        sqlx::query_scalar(ORDERED_BY_A_LIBRARY).fetch_all(&mut connection).await.unwrap();
    assert_eq!(ordered_by_a_library, Vec::<String>::new());
}

/// Inserts one message in each room.
const SEND_TO_ALL_ROOMS: &str = "
    SELECT count(*)
    FROM (
        SELECT
            array_agg(room_id ORDER BY room_id) AS room_ids,
            array_agg((room_id - 999)::INT ORDER BY room_id) AS rooms,
            array_agg(1::BIGINT) AS sender_ids,
            array_agg('ann'::TEXT) AS sender_names,
            array_agg('g:' || gen_random_uuid()) AS keys,
            array_agg('hello'::TEXT) AS contents
        FROM messaging.room_heads
    ) AS batch,
    messaging.write_batch(room_ids, rooms, sender_ids, sender_names, keys, contents)";

#[tokio::test]
async fn an_idempotency_key_is_found_by_index_when_most_rooms_have_one_message() {
    let database = fresh_database().await.unwrap();
    migrate("messaging", &database, &[]).await;
    let mut connection = PgConnection::connect(&database).await.unwrap();
    let rooms = "INSERT INTO messaging.room_heads (room_id) SELECT generate_series(1000, 1299)";
    connection.execute(rooms).await.unwrap();
    connection.execute(SEND_TO_ALL_ROOMS).await.unwrap();
    connection.execute("ANALYZE").await.unwrap();
    connection.close().await.unwrap();

    // A new connection plans with the current statistics.
    let mut connection = PgConnection::connect(&database).await.unwrap();
    let stored: i64 =
        sqlx::query_scalar(SEND_TO_ALL_ROOMS).fetch_one(&mut connection).await.unwrap();
    assert_eq!(stored, 300);
    connection.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let uses =
        "SELECT indexrelname::TEXT, idx_scan FROM pg_stat_user_indexes WHERE relname = 'messages'";
    let uses: BTreeMap<String, i64> =
        sqlx::query_as(uses).fetch_all(&mut connection).await.unwrap().into_iter().collect();
    assert_eq!(uses["messages_client_msg_id_unique"], 600, "{uses:?}");
    assert_eq!(uses["messages_room_seq_unique"], 0, "{uses:?}");
}

/// One message, and then many that were deleted.
const DELETED_MESSAGES: &str = "
    INSERT INTO messaging.room_heads (room_id, last_seq) VALUES (1000, 20001);
    INSERT INTO messaging.messages
        (room_id, seq, change_seq, sender_id, sender_name, content,
            created_at, updated_at, deleted_at)
    SELECT 1000, seq, seq, 1, 'ann', '', now(), now(), CASE WHEN seq > 1 THEN now() END
    FROM generate_series(1, 20001) AS seq";

#[tokio::test]
async fn a_page_behind_many_deleted_messages_reads_none_of_them() {
    let database = fresh_database().await.unwrap();
    migrate("messaging", &database, &[]).await;
    let mut superuser = PgConnection::connect(&database).await.unwrap();
    superuser.execute(DELETED_MESSAGES).await.unwrap();

    let config = config(&database);
    let pool = postgres::pool("messaging", &config).unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let statements = statements("messaging");
    let (pages, _) =
        statements.iter().find(|(statement, _)| statement.contains("request.before_id")).unwrap();
    connection.execute(AssertSqlSafe(format!("PREPARE pages AS {pages}"))).await.unwrap();
    // The newest page, pages before and after ids that are no message of the room, and the page
    // after a deleted message.
    for (before_id, after_id) in [("NULL", "NULL"), ("90000", "NULL"), ("NULL", "0"), ("NULL", "9")]
    {
        let explain = format!(
            "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
             EXECUTE pages ('{{1000}}', '{{{before_id}}}', '{{{after_id}}}', '{{51}}')"
        );
        // The first execution reads the catalog, too.
        connection.execute(AssertSqlSafe(explain.clone())).await.unwrap();
        let plan: Value =
            sqlx::query_scalar(AssertSqlSafe(explain)).fetch_one(&mut *connection).await.unwrap();
        let read = plan[0]["Plan"]["Shared Hit Blocks"].as_i64().unwrap();
        assert!(read < 60, "before {before_id}, after {after_id}: {read} blocks\n{plan:#}");
    }
}

#[tokio::test]
async fn room_heads_are_found_by_index_after_a_plan_for_one_row() {
    let database = fresh_database().await.unwrap();
    migrate("messaging", &database, &[]).await;
    let mut superuser = PgConnection::connect(&database).await.unwrap();
    superuser.execute("INSERT INTO messaging.room_heads (room_id) VALUES (1000)").await.unwrap();
    superuser.execute("VACUUM ANALYZE").await.unwrap();

    let config = config(&database);
    let pool = postgres::pool("messaging", &config).unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let mut stored: Vec<i64> = Vec::new();
    for further in
        ["", "INSERT INTO messaging.room_heads (room_id) SELECT generate_series(1001, 1299)"]
    {
        superuser.execute(further).await.unwrap();
        // The first execution makes the plan.
        stored
            .push(sqlx::query_scalar(SEND_TO_ALL_ROOMS).fetch_one(&mut *connection).await.unwrap());
    }
    assert_eq!(stored, [1, 300]);
    connection.execute("SELECT pg_stat_force_next_flush()").await.unwrap();
    let searches =
        "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'room_heads_pkey'";
    let searches: i64 = sqlx::query_scalar(searches).fetch_one(&mut *connection).await.unwrap();
    // One scan locks the rows, one updates them.
    assert!(searches >= 2 * 300, "each head is searched for, not in all of them: {searches}");
}
