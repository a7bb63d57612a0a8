-- Stores a batch of messages in one call. The arrays of messages are parallel, grouped by room, and in the order of arrival inside
-- a room; the same key stands only once in them. The answer has one row a message, in the same order. Every statement inside
-- sees a fresh snapshot, so what is read after the heads are locked is final.
--
-- The row of a new message has no content: it is the one given. The row of one whose key was seen before is the first message,
-- with its content. The row of one whose room was deleted has no id. There are no rows when a room has no head: it is to be made
-- first, in a transaction of its own. Made in this one, while other heads are locked, two batches could wait for each other.
--
-- The plans are made once for each connection, whatever the tables hold at that time, and must be right for all times: so every
-- table is looked into by index, once for each message or room.
CREATE FUNCTION messaging.write_batch(
    -- The rooms, each once, ascending.
    p_room_ids     BIGINT[],
    -- For each message the place of its room among them, from 1.
    p_rooms        INT[],
    p_sender_ids   BIGINT[],
    p_sender_names TEXT[],
    p_keys         TEXT[],
    p_contents     TEXT[]
)
RETURNS TABLE (
    id         BIGINT,
    seq        BIGINT,
    content    TEXT,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ,
    edited_at  TIMESTAMPTZ
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
    -- Parallel to the rooms.
    v_last_seqs BIGINT[];
    v_last_ats  TIMESTAMPTZ[];
    v_deleted   BOOLEAN[];
BEGIN
    SELECT array_agg(head.last_seq), array_agg(head.last_at), array_agg(head.deleted)
    INTO v_last_seqs, v_last_ats, v_deleted
    FROM (
        SELECT last_seq, last_at, deleted
        FROM messaging.room_heads
        WHERE room_id = ANY (p_room_ids)
        ORDER BY room_id
        FOR UPDATE
    ) AS head;
    IF cardinality(p_room_ids) IS DISTINCT FROM cardinality(v_last_seqs) THEN
        RETURN;
    END IF;

    v_now := clock_timestamp();

    RETURN QUERY
    WITH checked AS (
        SELECT
            sent.*,
            p_room_ids[sent.room] AS room_id,
            known.id IS NULL AND NOT v_deleted[sent.room] AS is_new,
            known.id AS known_id,
            known.seq AS known_seq,
            known.content AS known_content,
            known.created_at AS known_created_at,
            known.updated_at AS known_updated_at,
            known.edited_at AS known_edited_at
        FROM unnest(p_rooms, p_sender_ids, p_sender_names, p_keys, p_contents)
            WITH ORDINALITY AS sent (room, sender_id, sender_name, key, content, item)
        LEFT JOIN messaging.messages AS known
            ON known.room_id = p_room_ids[sent.room]
            AND known.sender_id = sent.sender_id
            AND known.client_msg_id = sent.key
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
    moved AS (
        UPDATE messaging.room_heads AS head
        SET last_seq = newest.seq, last_at = newest.at
        FROM (
            SELECT room_id, max(new_seq) AS seq, max(new_at) AS at
            FROM numbered
            WHERE is_new
            GROUP BY room_id
        ) AS newest
        WHERE head.room_id = newest.room_id
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
        known_edited_at
    FROM numbered
    ORDER BY item;
END
$$;

-- Edits a message, or deletes it when the content is NULL. No row when the message or its room is gone.
CREATE FUNCTION messaging.change_message(p_room_id BIGINT, p_message_id BIGINT, p_content TEXT)
RETURNS SETOF messaging.messages
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_seq BIGINT;
    v_now TIMESTAMPTZ;
BEGIN
    PERFORM FROM messaging.room_heads AS head
    WHERE head.room_id = p_room_id AND NOT head.deleted
    FOR UPDATE;

    PERFORM FROM messaging.messages AS message
    WHERE message.id = p_message_id AND message.room_id = p_room_id AND message.deleted_at IS NULL;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    UPDATE messaging.room_heads AS head
    SET last_seq = head.last_seq + 1
    WHERE head.room_id = p_room_id AND NOT head.deleted
    RETURNING head.last_seq INTO v_seq;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    INSERT INTO messaging.batches (room_ids, head_seqs)
    VALUES (ARRAY[p_room_id], ARRAY[v_seq]);

    v_now := clock_timestamp();
    RETURN QUERY
    UPDATE messaging.messages AS message
    SET
        change_seq = v_seq,
        content = coalesce(p_content, ''),
        client_msg_id = CASE WHEN p_content IS NULL THEN NULL ELSE message.client_msg_id END,
        updated_at = greatest(v_now, message.updated_at),
        edited_at = CASE WHEN p_content IS NULL THEN message.edited_at ELSE greatest(v_now, message.updated_at) END,
        deleted_at = CASE WHEN p_content IS NULL THEN v_now END
    WHERE message.id = p_message_id
    RETURNING message.*;
END
$$;
