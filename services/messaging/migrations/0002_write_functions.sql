-- Stores a batch of messages in one call. The arrays are parallel, one element a message, in the order of arrival; the answer has
-- one row a message. Every statement inside sees a fresh snapshot, so what is read after the heads are locked is final.
--
-- outcome: 'stored'; 'duplicate' (the key was seen before: the row is the first message); 'room_deleted'.
CREATE FUNCTION messaging.write_batch(
    p_room_ids     BIGINT[],
    p_sender_ids   BIGINT[],
    p_sender_names TEXT[],
    p_keys         TEXT[],
    p_contents     TEXT[]
)
RETURNS TABLE (
    item       BIGINT,
    outcome    TEXT,
    id         BIGINT,
    seq        BIGINT,
    content    TEXT,
    created_at TIMESTAMPTZ,
    updated_at TIMESTAMPTZ,
    edited_at  TIMESTAMPTZ
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    v_now TIMESTAMPTZ;
BEGIN
    -- Always in the order of the room ids, so that no two batches wait for each other.
    INSERT INTO messaging.room_heads (room_id)
    SELECT DISTINCT wanted.room_id
    FROM unnest(p_room_ids) AS wanted (room_id)
    WHERE NOT EXISTS (SELECT FROM messaging.room_heads AS head WHERE head.room_id = wanted.room_id)
    ORDER BY wanted.room_id
    ON CONFLICT DO NOTHING;

    PERFORM FROM messaging.room_heads AS head
    WHERE head.room_id = ANY (p_room_ids)
    ORDER BY head.room_id
    FOR UPDATE;

    v_now := clock_timestamp();

    RETURN QUERY
    WITH items AS MATERIALIZED (
        SELECT
            sent.item,
            sent.room_id,
            sent.sender_id,
            sent.sender_name,
            sent.key,
            sent.content,
            -- Where the same key stands more than once in the batch, the first one counts.
            first_value(sent.item) OVER (
                PARTITION BY sent.room_id, sent.sender_id, sent.key ORDER BY sent.item
            ) AS first_item,
            known.id AS known_id
        FROM unnest(p_room_ids, p_sender_ids, p_sender_names, p_keys, p_contents)
            WITH ORDINALITY AS sent (room_id, sender_id, sender_name, key, content, item)
        LEFT JOIN messaging.messages AS known
            ON known.room_id = sent.room_id
            AND known.sender_id = sent.sender_id
            AND known.client_msg_id = sent.key
    ),
    numbered AS MATERIALIZED (
        SELECT
            items.*,
            head.last_seq + row_number() OVER in_room AS new_seq,
            -- A microsecond apart, so that times grow with the numbers.
            greatest(v_now, head.last_at + INTERVAL '1 microsecond')
                + (row_number() OVER in_room - 1) * INTERVAL '1 microsecond' AS new_at
        FROM items
        JOIN messaging.room_heads AS head USING (room_id)
        WHERE items.known_id IS NULL
            AND items.first_item = items.item
            AND NOT head.deleted
        WINDOW in_room AS (PARTITION BY items.room_id ORDER BY items.item)
    ),
    inserted AS (
        INSERT INTO messaging.messages AS message (
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
        SELECT room_id, new_seq, new_seq, sender_id, sender_name, key, content, new_at, new_at
        FROM numbered
        ORDER BY room_id, new_seq
        RETURNING message.id, message.room_id, message.seq
    ),
    moved AS (
        UPDATE messaging.room_heads AS head
        SET last_seq = newest.seq, last_at = newest.at
        FROM (
            SELECT room_id, max(new_seq) AS seq, max(new_at) AS at
            FROM numbered
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
    )
    SELECT
        items.item,
        CASE
            WHEN items.known_id IS NOT NULL THEN 'duplicate'
            WHEN inserted.id IS NULL THEN 'room_deleted'
            WHEN items.first_item <> items.item THEN 'duplicate'
            ELSE 'stored'
        END,
        coalesce(known.id, inserted.id),
        coalesce(known.seq, numbered.new_seq),
        coalesce(known.content, numbered.content),
        coalesce(known.created_at, numbered.new_at),
        coalesce(known.updated_at, numbered.new_at),
        known.edited_at
    FROM items
    LEFT JOIN messaging.messages AS known ON known.id = items.known_id
    LEFT JOIN numbered ON numbered.item = items.first_item
    LEFT JOIN inserted ON inserted.room_id = numbered.room_id AND inserted.seq = numbered.new_seq
    ORDER BY items.item;
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
