-- The server on which ids were last given out; one row, which the service writes.
CREATE TABLE rooms.server (
    system_id BIGINT NOT NULL,
    -- The timeline, as in the names of WAL files. A promoted standby has another one.
    timeline  TEXT COLLATE "C" NOT NULL
);
