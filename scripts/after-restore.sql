-- What has to be put right in a database that has lost its newest part: for one that was restored from a backup, by scripts/restore; for
-- one that was recovered to a point in time, or whose primary was replaced by a standby that lagged behind, by hand, in one transaction and
-- while no part of Parlance runs.

-- Ids of transactions, which mean nothing in another cluster. Both tables are for replicas that run.
TRUNCATE messaging.batches, rooms.membership_log;
UPDATE rooms.membership_log_floor SET xid = '0';

-- What was given out after the backup and is lost must not be given out again. A new user with the id of one who is lost could be
-- reached with the other's token; a room or a message with a known id would be taken for the other one.
SELECT setval(pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name), next + 1000000000)
FROM information_schema.columns
CROSS JOIN LATERAL (
    SELECT coalesce(last_value, 0) AS next
    FROM pg_sequences
    WHERE format('%I.%I', schemaname, sequencename)
        = pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name)
) AS given
WHERE is_identity = 'YES' AND table_schema IN ('auth', 'contacts', 'rooms', 'messaging')
\g /dev/null

-- Nor must the numbers of a room: a client that comes back with a number from after the backup would take what is new for known.
-- With this distance it is told to read the room anew.
INSERT INTO messaging.room_heads (room_id) SELECT id FROM rooms.rooms ON CONFLICT DO NOTHING;
UPDATE messaging.room_heads SET last_seq = last_seq + 100000000;
