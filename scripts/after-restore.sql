-- Repairs a database that has lost its newest changes: one restored from a backup (scripts/restore
-- runs this), recovered to a point in time, or taken over by a standby that lagged. Run it in one
-- transaction while no part of Parlance runs.

-- Transaction ids mean nothing in another cluster. Only running replicas need these rows.
TRUNCATE messaging.batches, rooms.membership_log;
UPDATE rooms.membership_log_floor SET xid = '0';

-- Ids that were given out after the backup must not be given out again: the token of a lost user
-- would be valid for a new one with the same id, and clients would confuse rooms and messages.
SELECT setval(
    pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name),
    next + 1000000000
)
FROM information_schema.columns
CROSS JOIN LATERAL (
    SELECT coalesce(last_value, 0) AS next
    FROM pg_sequences
    WHERE format('%I.%I', schemaname, sequencename)
        = pg_get_serial_sequence(format('%I.%I', table_schema, table_name), column_name)
) AS given
WHERE is_identity = 'YES' AND table_schema IN ('auth', 'contacts', 'rooms', 'messaging')
\g /dev/null

-- The numbers of a room likewise: a client with a newer `after_seq` would mistake new changes for
-- known ones. With this distance the gateway tells it to reload the room.
INSERT INTO messaging.room_heads (room_id) SELECT id FROM rooms.rooms ON CONFLICT DO NOTHING;
UPDATE messaging.room_heads SET last_seq = last_seq + 100000000;

-- The services need not do the same again: they accept the server on which they start next.
TRUNCATE auth.server, contacts.server, rooms.server, messaging.server;
