-- The server on which numbers were last given out; one row, which the service writes.
CREATE TABLE messaging.server (
    system_id BIGINT NOT NULL,
    -- The timeline, as in the names of WAL files. A promoted standby has another one.
    timeline  TEXT COLLATE "C" NOT NULL
);

-- Raises the numbers of all rooms above any that may have been given out in lost commits. A client
-- with a newer `after_seq` would mistake new changes for known ones; with this distance the gateway
-- tells it to reload the room. A room without a row may have lost its first messages: rooms to come
-- begin above the numbers of all others, by the default of room_heads.last_seq.
CREATE FUNCTION messaging.raise_numbers()
RETURNS VOID
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_first BIGINT;
BEGIN
    LOCK TABLE messaging.room_heads IN ACCESS EXCLUSIVE MODE;
    UPDATE messaging.room_heads SET last_seq = last_seq + 100000000;
    SELECT coalesce(max(last_seq), 100000000) INTO v_first FROM messaging.room_heads;
    EXECUTE format('ALTER TABLE messaging.room_heads ALTER last_seq SET DEFAULT %s', v_first);
    -- Their transaction ids may be given out again.
    DELETE FROM messaging.batches;
END
$$;
