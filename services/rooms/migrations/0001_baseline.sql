-- Rooms. A user room has a name and an owner. A system room has neither; it belongs to two
-- contacts.
CREATE TABLE rooms.rooms (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    is_system BOOLEAN NOT NULL,
    -- NULL in a system room.
    name TEXT,
    -- NULL in a system room. The owner always has a row in rooms.members, too.
    owner_id BIGINT,
    -- The two contacts of a system room, lower id first; NULL in a user room. Two users are
    -- contacts for this service if such a room exists.
    system_low_id BIGINT,
    system_high_id BIGINT,
    -- The room version: counts the changes of the room's members, so that answers about memberships
    -- and entries of the log can be put in order. A change of members locks the row of the room
    -- first. Begins at 1, because 0 stands for a room that does not exist.
    membership_version BIGINT NOT NULL DEFAULT 1,
    -- The number of rows in rooms.members, which triggers keep. It tells how large an answer with
    -- all members will be before they are read.
    member_count INT NOT NULL DEFAULT 0,
    created_at TIMESTAMPTZ NOT NULL,
    -- When the room or its members last changed.
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT rooms_kind CHECK (
        CASE
            WHEN is_system THEN name IS NULL AND owner_id IS NULL AND system_low_id < system_high_id
            ELSE
                name IS NOT NULL AND owner_id IS NOT NULL
                AND system_low_id IS NULL AND system_high_id IS NULL
        END
    )
);

-- Two contacts have one system room, however many calls make it at once.
CREATE UNIQUE INDEX rooms_system_pair ON rooms.rooms (system_low_id, system_high_id)
    WHERE system_low_id IS NOT NULL;

CREATE TABLE rooms.members (
    room_id BIGINT NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL,
    joined_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

-- Finds the rooms of a user.
CREATE INDEX members_user ON rooms.members (user_id, room_id);

CREATE FUNCTION rooms.count_members()
RETURNS TRIGGER
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE rooms.rooms AS room
    SET member_count = room.member_count
        + CASE TG_OP WHEN 'INSERT' THEN changed.members ELSE -changed.members END
    FROM (
        SELECT room_id, count(*)::INT AS members
        FROM changed_members
        GROUP BY room_id
    ) AS changed
    WHERE room.id = changed.room_id;
    RETURN NULL;
END
$$;

CREATE TRIGGER members_added AFTER INSERT ON rooms.members
    REFERENCING NEW TABLE AS changed_members
    FOR EACH STATEMENT EXECUTE FUNCTION rooms.count_members();

CREATE TRIGGER members_removed AFTER DELETE ON rooms.members
    REFERENCING OLD TABLE AS changed_members
    FOR EACH STATEMENT EXECUTE FUNCTION rooms.count_members();

-- The ends of memberships, each written in the transaction that ends it, and read by watchers.
-- Entries are kept for some minutes. A watcher that was away for longer checks all memberships
-- again.
CREATE TABLE rooms.membership_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The transaction that wrote the entry. Readers continue from transaction ids, not from ids: an
    -- id is given before the commit, so an entry may become visible after one with a higher id.
    xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    -- No foreign key: the entry outlives the room.
    room_id BIGINT NOT NULL,
    -- NULL if the room was deleted, which ends all its memberships.
    user_id BIGINT,
    reason TEXT NOT NULL CHECK (reason IN ('left', 'removed', 'room_deleted')),
    -- The membership_version of the room after this change.
    room_version BIGINT NOT NULL,
    -- The clock of Postgres, not that of a replica: entries that are old by it are deleted.
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);

-- The reading order.
CREATE INDEX membership_log_xid ON rooms.membership_log (xid, id);

-- How far the log was trimmed: the highest transaction id of a deleted entry. A reader that
-- continues from there or from before may have missed entries.
CREATE TABLE rooms.membership_log_floor (
    -- Keeps the table at one row.
    is_only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only_row),
    xid XID8 NOT NULL
);

INSERT INTO rooms.membership_log_floor (xid) VALUES ('0');
