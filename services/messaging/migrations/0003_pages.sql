-- Sends wait while the index is built.
ALTER TABLE messaging.messages DROP CONSTRAINT messages_room_seq_unique;

-- For pages and for catching up. Deleted messages are not in it, so that a page behind millions of
-- them costs no more than any other.
CREATE UNIQUE INDEX messages_room_seq_unique
    ON messaging.messages (room_id, seq)
    WHERE deleted_at IS NULL;

-- Needed while the index above had all messages: it could be taken for the search of a key.
ALTER TABLE messaging.messages ALTER room_id RESET (n_distinct);

-- Edits a message, or deletes it when the content is NULL. Returns the message afterwards; no row
-- when the message or its room is deleted. An edit to the content that the message has changes
-- nothing.
CREATE OR REPLACE FUNCTION messaging.change_message(
    p_room_id    BIGINT,
    p_message_id BIGINT,
    p_content    TEXT
)
RETURNS TABLE (is_changed BOOLEAN, message_after messaging.messages)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_content    TEXT;
    v_deleted_at TIMESTAMPTZ;
    v_seq        BIGINT;
    v_now        TIMESTAMPTZ;
BEGIN
    PERFORM FROM messaging.room_heads AS head
    WHERE head.room_id = p_room_id AND NOT head.deleted
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    -- A condition on deleted_at would let the plan read all of messages_room_seq_unique.
    SELECT message.content, message.deleted_at INTO v_content, v_deleted_at
    FROM messaging.messages AS message
    WHERE message.id = p_message_id AND message.room_id = p_room_id;
    IF NOT FOUND OR v_deleted_at IS NOT NULL THEN
        RETURN;
    END IF;

    IF v_content = p_content THEN
        RETURN QUERY
        SELECT FALSE, message
        FROM messaging.messages AS message
        WHERE message.id = p_message_id;
        RETURN;
    END IF;

    UPDATE messaging.room_heads AS head
    SET last_seq = head.last_seq + 1
    WHERE head.room_id = p_room_id
    RETURNING head.last_seq INTO v_seq;

    INSERT INTO messaging.batches (room_ids, last_seqs)
    VALUES (ARRAY[p_room_id], ARRAY[v_seq]);

    v_now := clock_timestamp();
    RETURN QUERY
    UPDATE messaging.messages AS message
    SET
        change_seq = v_seq,
        content = coalesce(p_content, ''),
        client_msg_id = CASE WHEN p_content IS NULL THEN NULL ELSE message.client_msg_id END,
        updated_at = greatest(v_now, message.updated_at),
        edited_at = CASE
            WHEN p_content IS NULL THEN message.edited_at
            ELSE greatest(v_now, message.updated_at)
        END,
        deleted_at = CASE WHEN p_content IS NULL THEN v_now END
    WHERE message.id = p_message_id
    RETURNING TRUE, message;
END
$$;

-- Returns the number of a message, or, if the room has none with this id, a number that divides the
-- messages of the room that are not deleted: those below it have lower ids, the others have not.
-- Ids and numbers grow together within a room, so that a page that is cut by id can be read by
-- number.
CREATE OR REPLACE FUNCTION messaging.seq_from(p_room_id BIGINT, p_id BIGINT)
RETURNS BIGINT
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    v_low    BIGINT := 1;
    v_high   BIGINT;
    v_middle BIGINT;
    v_first  RECORD;
BEGIN
    -- Nearly always the id is that of a message in the room.
    SELECT seq INTO v_high FROM messaging.messages WHERE id = p_id AND room_id = p_room_id;
    IF FOUND THEN
        RETURN v_high;
    END IF;

    SELECT last_seq + 1 INTO v_high FROM messaging.room_heads WHERE room_id = p_room_id;
    -- Binary search. Messages below v_low have lower ids; messages from v_high on have not. Deleted
    -- messages are not looked at.
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        SELECT id, seq INTO v_first
        FROM messaging.messages
        WHERE room_id = p_room_id AND seq >= v_middle AND deleted_at IS NULL
        ORDER BY seq
        LIMIT 1;
        IF v_first.id < p_id THEN
            v_low := v_first.seq + 1;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN v_low;
END
$$;
