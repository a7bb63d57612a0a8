-- How far each room has come. The row is the lock under which a room's changes are put in order.
CREATE TABLE messaging.room_heads (
    room_id  BIGINT PRIMARY KEY,
    -- The last number taken; the next change takes the one after it.
    last_seq BIGINT NOT NULL DEFAULT 0,
    -- The time of the last creation, below which no later one may be: clocks run backwards at times.
    last_at  TIMESTAMPTZ NOT NULL DEFAULT to_timestamp(0),
    -- A tombstone: the room was deleted, its messages are being purged, and nothing can be added.
    deleted  BOOLEAN NOT NULL DEFAULT FALSE
)
-- Every batch rewrites the rows of its rooms: they find room on their own pages, and no index entry moves.
WITH (fillfactor = 50);

CREATE TABLE messaging.messages (
    id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    room_id       BIGINT NOT NULL,
    -- The number of the message's creation among the room's changes.
    seq           BIGINT NOT NULL,
    -- The number of its last change: `seq` until it is edited or deleted. This is what readers catch up by.
    change_seq    BIGINT NOT NULL,
    sender_id     BIGINT NOT NULL,
    -- The sender's name at that time, so that live delivery never waits for another service.
    sender_name   TEXT NOT NULL,
    -- What makes a repeated send the same send: `c:` and the client's key, or `g:` and one of the gateway's. NULL once the
    -- message is deleted: the key is free again. Only ever compared for equality, so byte by byte.
    client_msg_id TEXT COLLATE "C",
    content       TEXT NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL,
    edited_at     TIMESTAMPTZ,
    -- Deleted messages stay as empty rows, so that those who were away learn of the deletion.
    deleted_at    TIMESTAMPTZ,
    CONSTRAINT messages_room_seq_unique UNIQUE (room_id, seq),
    CONSTRAINT messages_client_msg_id_unique UNIQUE (room_id, sender_id, client_msg_id)
);

-- Catching up looks for old messages with new changes; there are few.
CREATE INDEX messages_changed ON messaging.messages (room_id, change_seq) WHERE change_seq <> seq;

-- What was committed lately, for replicas that missed the hint in Redis. A reader's cursor is a transaction id: ids of rows are
-- given before the commit, so a cursor over those would skip what is committed late.
CREATE TABLE messaging.batches (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid        XID8 NOT NULL DEFAULT pg_current_xact_id(),
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    -- The rooms that changed and, at the same places, their heads afterwards.
    room_ids   BIGINT[] NOT NULL,
    head_seqs  BIGINT[] NOT NULL
);

-- The row of a batch with 400 rooms, which is the most, fits a page as it is. Compressing it takes longer than writing it.
ALTER TABLE messaging.batches ALTER room_ids SET STORAGE PLAIN, ALTER head_seqs SET STORAGE PLAIN;
CREATE INDEX batches_xid ON messaging.batches (xid);
CREATE INDEX batches_created_at ON messaging.batches (created_at);
