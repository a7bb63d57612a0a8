-- Stores a batch of messages in one call. The heads are moved without a join: a plan for one, made while the table had a single row,
-- read all heads for each batch once there were more, until statistics were made anew.
--
-- The rest is as it was. The arrays of messages are parallel, grouped by room, and in the order of arrival inside a room; the same key
-- stands only once in them. The answer has one row a message, in the same order. Every statement inside sees a fresh snapshot, so what
-- is read after the heads are locked is final.
--
-- The row of a new message has no content: it is the one given. The row of one whose key was seen before is the first message,
-- with its content. The row of one whose room was deleted has no id. There are no rows when a room has no head: it is to be made
-- first, in a transaction of its own. Made in this one, while other heads are locked, two batches could wait for each other.
--
-- The plans are made once for each connection, whatever the tables hold at that time, and must be right for all times: so every
-- table is looked into by index, once for each message or room.
CREATE OR REPLACE FUNCTION messaging.write_batch(
    -- The rooms, each once, ascending.
    p_room_ids     BIGINT[],
    -- For each message the place of its room among them, from 1.
    p_rooms        INT[],
    p_sender_ids   BIGINT[],
    p_sender_names TEXT[],
    p_keys         TEXT[],
    -- The same, for keys that may have been seen before; NULL where that need not be found out. If one was seen all the same, the call fails.
    p_known_keys   TEXT[],
    p_contents     TEXT[],
    -- Whether to wait for rooms that are locked.
    p_waits        BOOLEAN
)
RETURNS TABLE (
    id         BIGINT,
    seq        BIGINT,
    content    TEXT,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ,
    edited_at  TIMESTAMPTZ,
    -- Whether the room was locked by somebody else and not waited for. Nothing else in the row counts then.
    left_out   BOOLEAN
)
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
    v_now       TIMESTAMPTZ;
    -- The rooms that are locked for this batch, and parallel to them what their heads say.
    v_room_ids  BIGINT[];
    v_last_seqs BIGINT[];
    v_last_ats  TIMESTAMPTZ[];
    v_deleted   BOOLEAN[];
    -- For when rooms are left out.
    v_room_id       BIGINT;
    v_is_locked     BOOLEAN;
    v_place         INT := 1;
    v_all_last_seqs BIGINT[];
    v_all_last_ats  TIMESTAMPTZ[];
    v_all_deleted   BOOLEAN[];
BEGIN
    IF p_waits THEN
        SELECT array_agg(head.room_id), array_agg(head.last_seq), array_agg(head.last_at), array_agg(head.deleted)
        INTO v_room_ids, v_last_seqs, v_last_ats, v_deleted
        FROM (
            SELECT room_id, last_seq, last_at, deleted
            FROM messaging.room_heads
            WHERE room_id = ANY (p_room_ids)
            ORDER BY room_id
            FOR UPDATE
        ) AS head;
    ELSE
        SELECT array_agg(head.room_id), array_agg(head.last_seq), array_agg(head.last_at), array_agg(head.deleted)
        INTO v_room_ids, v_last_seqs, v_last_ats, v_deleted
        FROM (
            SELECT room_id, last_seq, last_at, deleted
            FROM messaging.room_heads
            WHERE room_id = ANY (p_room_ids)
            ORDER BY room_id
            FOR UPDATE SKIP LOCKED
        ) AS head;
    END IF;

    IF cardinality(p_room_ids) IS DISTINCT FROM cardinality(v_room_ids) THEN
        IF p_waits OR cardinality(p_room_ids) > (
            SELECT count(*) FROM messaging.room_heads WHERE room_id = ANY (p_room_ids)
        ) THEN
            RETURN;
        END IF;
        -- What is parallel to the locked rooms becomes parallel to all rooms, with NULL for those that are left out. Both ascend.
        FOREACH v_room_id IN ARRAY p_room_ids LOOP
            v_is_locked := v_room_ids[v_place] IS NOT DISTINCT FROM v_room_id;
            v_all_last_seqs := array_append(v_all_last_seqs, CASE WHEN v_is_locked THEN v_last_seqs[v_place] END);
            v_all_last_ats := array_append(v_all_last_ats, CASE WHEN v_is_locked THEN v_last_ats[v_place] END);
            v_all_deleted := array_append(v_all_deleted, CASE WHEN v_is_locked THEN v_deleted[v_place] END);
            v_place := v_place + v_is_locked::INT;
        END LOOP;
        v_last_seqs := v_all_last_seqs;
        v_last_ats := v_all_last_ats;
        v_deleted := v_all_deleted;
    END IF;

    v_now := clock_timestamp();

    RETURN QUERY
    WITH checked AS (
        SELECT
            sent.*,
            p_room_ids[sent.room] AS room_id,
            known.id IS NULL AND NOT coalesce(v_deleted[sent.room], TRUE) AS is_new,
            known.id AS known_id,
            known.seq AS known_seq,
            known.content AS known_content,
            known.created_at AS known_created_at,
            known.updated_at AS known_updated_at,
            known.edited_at AS known_edited_at
        FROM unnest(p_rooms, p_sender_ids, p_sender_names, p_keys, p_known_keys, p_contents)
            WITH ORDINALITY AS sent (room, sender_id, sender_name, key, known_key, content, item)
        LEFT JOIN messaging.messages AS known
            ON known.room_id = p_room_ids[sent.room]
            AND known.sender_id = sent.sender_id
            AND known.client_msg_id = sent.known_key
    ),
    placed AS (
        SELECT
            checked.*,
            count(*) FILTER (WHERE is_new) OVER (PARTITION BY room ORDER BY item) AS place
        FROM checked
        OFFSET 0
    ),
    -- Ids are taken here, in the order of the numbers.
    numbered AS MATERIALIZED (
        SELECT
            placed.*,
            CASE WHEN is_new THEN nextval('messaging.messages_id_seq') END AS new_id,
            v_last_seqs[room] + place AS new_seq,
            -- A microsecond apart, so that times grow with the numbers.
            greatest(v_now, v_last_ats[room]) + place * INTERVAL '1 microsecond' AS new_at
        FROM placed
    ),
    -- All rooms have a head, which is locked: nothing is ever inserted. But what a conflict is found by is always the index.
    moved AS (
        INSERT INTO messaging.room_heads AS head (room_id, last_seq, last_at)
        SELECT room_id, max(new_seq), max(new_at)
        FROM numbered
        WHERE is_new
        GROUP BY room_id
        ON CONFLICT (room_id) DO UPDATE SET last_seq = excluded.last_seq, last_at = excluded.last_at
        RETURNING head.room_id, head.last_seq
    ),
    noted AS (
        INSERT INTO messaging.batches (room_ids, head_seqs)
        SELECT array_agg(moved.room_id), array_agg(moved.last_seq)
        FROM moved
        HAVING count(*) > 0
    ),
    stored AS (
        INSERT INTO messaging.messages (
            id,
            room_id,
            seq,
            change_seq,
            sender_id,
            sender_name,
            client_msg_id,
            content,
            created_at,
            updated_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT new_id, room_id, new_seq, new_seq, sender_id, sender_name, key, content, new_at, new_at
        FROM numbered
        WHERE is_new
    )
    SELECT
        coalesce(known_id, new_id),
        CASE WHEN is_new THEN new_seq ELSE known_seq END,
        known_content,
        CASE WHEN is_new THEN new_at ELSE known_created_at END,
        CASE WHEN is_new THEN new_at ELSE known_updated_at END,
        known_edited_at,
        v_deleted[room] IS NULL
    FROM numbered
    ORDER BY item;
END
$$;

-- Replicas of the version before call the function with eight parameters, too.
DROP FUNCTION messaging.write_batch(BIGINT[], INT[], BIGINT[], TEXT[], TEXT[], TEXT[]);
