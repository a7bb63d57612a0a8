-- One row for each room with a message. The row is the lock under which the changes of a room are
-- numbered.
CREATE TABLE messaging.room_heads (
    room_id  BIGINT PRIMARY KEY,
    -- The highest number given out. The next change takes the one after it.
    last_seq BIGINT NOT NULL DEFAULT 0,
    -- The creation time of the newest message. Later messages get a later time, even when the clock
    -- was set back.
    last_at  TIMESTAMPTZ NOT NULL DEFAULT to_timestamp(0),
    -- True when the room was deleted: it takes no more messages, and those it has are purged. The
    -- row stays, so that a message that was admitted before the deletion is refused.
    deleted  BOOLEAN NOT NULL DEFAULT FALSE
)
-- Each batch updates the rows of its rooms. The free half of a page keeps the new versions on the
-- same page, so that no index entry changes.
WITH (fillfactor = 50);

CREATE TABLE messaging.messages (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id       BIGINT NOT NULL,
    -- The number of the message's creation among the changes of its room.
    seq           BIGINT NOT NULL,
    -- The number of the message's last change; `seq` until it is edited or deleted. Readers that
    -- catch up look for it.
    change_seq    BIGINT NOT NULL,
    sender_id     BIGINT NOT NULL,
    -- The sender's name at that time, so that delivery does not depend on auth.
    sender_name   TEXT NOT NULL,
    -- The idempotency key: `c:` and the client's `client_msg_id`, or `g:` and a key that the
    -- gateway made. NULL once the message is deleted, so that the key is free again. Keys are only
    -- compared for equality, for which the collation "C" is the cheapest.
    client_msg_id TEXT COLLATE "C",
    content       TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    edited_at     TIMESTAMPTZ,
    -- A deleted message stays as an empty row, so that clients that were away learn of the
    -- deletion.
    deleted_at    TIMESTAMPTZ,
    CONSTRAINT messages_room_seq_unique UNIQUE (room_id, seq),
    CONSTRAINT messages_client_msg_id_unique UNIQUE (room_id, sender_id, client_msg_id)
);

-- Keys are looked up in messages_client_msg_id_unique. While most rooms have a single message,
-- statistics rate messages_room_seq_unique as equally good, and a plan made then reads all messages
-- of the room for each key, even when rooms have grown. A fixed estimate of the number of rooms
-- prevents this plan: one room for every thousand messages.
ALTER TABLE messaging.messages ALTER room_id SET (n_distinct = -0.001);

-- For catching up: old messages with new changes, of which there are few.
CREATE INDEX messages_changed ON messaging.messages (room_id, change_seq) WHERE change_seq <> seq;

-- The commits of the last ten minutes, which the log poller of each replica reads.
CREATE TABLE messaging.batches (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The cursor of readers. Row ids would not do: they are assigned before the commit, so that a
    -- reader would skip a transaction that commits late.
    xid        XID8 NOT NULL DEFAULT pg_current_xact_id(),
    -- Rows are deleted ten minutes after this time.
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- The rooms that changed.
    room_ids   BIGINT[] NOT NULL,
    -- The `last_seq` of each room after the change, in the order of `room_ids`.
    last_seqs  BIGINT[] NOT NULL
);

-- A row of the largest batch, 400 rooms, fits on a page without compression. Compressing it would
-- take longer than writing it.
ALTER TABLE messaging.batches
    ALTER room_ids SET STORAGE PLAIN,
    ALTER last_seqs SET STORAGE PLAIN;
CREATE INDEX batches_xid ON messaging.batches (xid);
CREATE INDEX batches_created_at ON messaging.batches (created_at);

-- Stores a batch of messages. The arrays of messages are parallel, grouped by room, and in the
-- order of arrival within a room. No key occurs twice in them. The result has one row for each
-- message, in the same order:
--
-- * a new message: its id, number and time; `content` is NULL, as it is the given one;
-- * a message whose key was stored before: the first message, with its content;
-- * a message for a deleted room: no id;
-- * a message for a room that is locked by another transaction, or that has no row in `room_heads`:
--   `is_skipped`. The function waits for no lock, so that a locked room delays no other.
--
-- A missing row is created by the caller, in a transaction of its own. If this function created it
-- while it holds other locks, two batches could wait for each other.
--
-- Each statement sees a new snapshot, as the function is VOLATILE: what is read after the rooms are
-- locked is final.
--
-- Plans are made once for each connection, whatever the tables hold at that time, and must stay
-- right when they grow. So every table is read by index, once for each message or room.
CREATE FUNCTION messaging.write_batch(
    -- The rooms, each once, ascending.
    p_room_ids     BIGINT[],
    -- For each message the position of its room in p_room_ids, from 1.
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
    edited_at  TIMESTAMPTZ,
    is_skipped BOOLEAN
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
    v_now           TIMESTAMPTZ;
    -- The rooms that this transaction has locked, ascending, and their columns.
    v_locked_ids    BIGINT[];
    v_last_seqs     BIGINT[];
    v_last_ats      TIMESTAMPTZ[];
    v_deleted       BOOLEAN[];
    -- The columns of all rooms in the order of p_room_ids; NULL for a skipped room.
    v_all_last_seqs BIGINT[];
    v_all_last_ats  TIMESTAMPTZ[];
    v_all_deleted   BOOLEAN[];
    v_room_id       BIGINT;
    v_is_locked     BOOLEAN;
    v_position      INT := 1;
BEGIN
    -- The order of locking is the same in all transactions, so that there is no deadlock.
    SELECT
        array_agg(head.room_id),
        array_agg(head.last_seq),
        array_agg(head.last_at),
        array_agg(head.deleted)
    INTO v_locked_ids, v_last_seqs, v_last_ats, v_deleted
    FROM (
        SELECT room_id, last_seq, last_at, deleted
        FROM messaging.room_heads
        WHERE room_id = ANY (p_room_ids)
        ORDER BY room_id
        FOR UPDATE SKIP LOCKED
    ) AS head;

    IF cardinality(p_room_ids) IS DISTINCT FROM cardinality(v_locked_ids) THEN
        FOREACH v_room_id IN ARRAY p_room_ids LOOP
            v_is_locked := v_locked_ids[v_position] IS NOT DISTINCT FROM v_room_id;
            v_all_last_seqs := array_append(
                v_all_last_seqs, CASE WHEN v_is_locked THEN v_last_seqs[v_position] END
            );
            v_all_last_ats := array_append(
                v_all_last_ats, CASE WHEN v_is_locked THEN v_last_ats[v_position] END
            );
            v_all_deleted := array_append(
                v_all_deleted, CASE WHEN v_is_locked THEN v_deleted[v_position] END
            );
            v_position := v_position + v_is_locked::INT;
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
            first.id IS NULL AND NOT coalesce(v_deleted[sent.room], TRUE) AS is_new,
            first.id AS first_id,
            first.seq AS first_seq,
            first.content AS first_content,
            first.created_at AS first_created_at,
            first.updated_at AS first_updated_at,
            first.edited_at AS first_edited_at
        FROM unnest(p_rooms, p_sender_ids, p_sender_names, p_keys, p_contents)
            WITH ORDINALITY AS sent (room, sender_id, sender_name, key, content, item)
        LEFT JOIN messaging.messages AS first
            ON first.room_id = p_room_ids[sent.room]
            AND first.sender_id = sent.sender_id
            AND first.client_msg_id = sent.key
    ),
    placed AS (
        SELECT
            checked.*,
            count(*) FILTER (WHERE is_new) OVER (PARTITION BY room ORDER BY item) AS place
        FROM checked
        OFFSET 0
    ),
    -- Ids are taken here, so that they grow with the numbers within a room.
    numbered AS MATERIALIZED (
        SELECT
            placed.*,
            CASE WHEN is_new THEN nextval('messaging.messages_id_seq') END AS new_id,
            v_last_seqs[room] + place AS new_seq,
            -- A microsecond apart, so that times grow with the numbers.
            greatest(v_now, v_last_ats[room]) + place * INTERVAL '1 microsecond' AS new_at
        FROM placed
    ),
    -- Every row exists, so that nothing is inserted. ON CONFLICT always finds the rows by index; an
    -- UPDATE with a join would read the whole table if it was planned while the table was small.
    advanced AS (
        INSERT INTO messaging.room_heads AS head (room_id, last_seq, last_at)
        SELECT room_id, max(new_seq), max(new_at)
        FROM numbered
        WHERE is_new
        GROUP BY room_id
        ON CONFLICT (room_id) DO UPDATE SET last_seq = excluded.last_seq, last_at = excluded.last_at
        RETURNING head.room_id, head.last_seq
    ),
    logged AS (
        INSERT INTO messaging.batches (room_ids, last_seqs)
        SELECT array_agg(advanced.room_id), array_agg(advanced.last_seq)
        FROM advanced
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
        SELECT
            new_id,
            room_id,
            new_seq,
            new_seq,
            sender_id,
            sender_name,
            key,
            content,
            new_at,
            new_at
        FROM numbered
        WHERE is_new
    )
    SELECT
        coalesce(first_id, new_id),
        CASE WHEN is_new THEN new_seq ELSE first_seq END,
        first_content,
        CASE WHEN is_new THEN new_at ELSE first_created_at END,
        CASE WHEN is_new THEN new_at ELSE first_updated_at END,
        first_edited_at,
        v_deleted[room] IS NULL
    FROM numbered
    ORDER BY item;
END
$$;

-- Edits a message, or deletes it when the content is NULL. Returns the message afterwards; no row
-- when the message or its room is deleted. An edit to the content that the message has changes
-- nothing.
CREATE FUNCTION messaging.change_message(p_room_id BIGINT, p_message_id BIGINT, p_content TEXT)
RETURNS TABLE (is_changed BOOLEAN, message_after messaging.messages)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_content TEXT;
    v_seq     BIGINT;
    v_now     TIMESTAMPTZ;
BEGIN
    PERFORM FROM messaging.room_heads AS head
    WHERE head.room_id = p_room_id AND NOT head.deleted
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    SELECT message.content INTO v_content
    FROM messaging.messages AS message
    WHERE message.id = p_message_id AND message.room_id = p_room_id AND message.deleted_at IS NULL;
    IF NOT FOUND THEN
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

-- Returns the number of the first message in the room whose id is at least the given one, whether
-- that id exists or not; a number above all others if there is none. Ids and numbers grow together
-- within a room, so that a page that is cut by id can be read by number.
CREATE FUNCTION messaging.seq_from(p_room_id BIGINT, p_id BIGINT)
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
    -- Binary search. Messages below v_low have lower ids; messages from v_high on have not.
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        SELECT id, seq INTO v_first
        FROM messaging.messages
        WHERE room_id = p_room_id AND seq >= v_middle
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
