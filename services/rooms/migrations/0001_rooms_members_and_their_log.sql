-- Rooms. A user room has a name and an owner; a system room has neither, but the two contacts it belongs to.
CREATE TABLE rooms.rooms (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    is_system BOOLEAN NOT NULL,
    -- NULL in a system room.
    name TEXT,
    -- NULL in a system room. The owner is also a row of rooms.members, always.
    owner_id BIGINT,
    -- The two contacts of a system room, lower id first; NULL in a user room. That such a room exists is how this service knows
    -- that the two are contacts.
    system_low_id BIGINT,
    system_high_id BIGINT,
    -- Counts the changes of the room's members, so that answers about memberships and entries of the log can be put in order.
    -- Whoever changes members locks the room's row first. Begins at 1: 0 stands for a room that does not exist.
    membership_version BIGINT NOT NULL DEFAULT 1,
    created_at TIMESTAMPTZ NOT NULL,
    -- When the room or its members last changed.
    updated_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT rooms_kind CHECK (
        CASE
            WHEN is_system THEN name IS NULL AND owner_id IS NULL AND system_low_id < system_high_id
            ELSE name IS NOT NULL AND owner_id IS NOT NULL AND system_low_id IS NULL AND system_high_id IS NULL
        END
    )
);

-- One system room for two contacts, however many calls ask for it at once.
CREATE UNIQUE INDEX rooms_system_pair ON rooms.rooms (system_low_id, system_high_id) WHERE system_low_id IS NOT NULL;

CREATE TABLE rooms.members (
    room_id BIGINT NOT NULL REFERENCES rooms.rooms (id) ON DELETE CASCADE,
    user_id BIGINT NOT NULL,
    joined_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (room_id, user_id)
);

-- The rooms of a user.
CREATE INDEX members_user ON rooms.members (user_id, room_id);

-- Every end of a membership, written in the transaction that ends it and read by those who watch. Entries are kept for some
-- minutes; whoever was away for longer checks all memberships anew.
CREATE TABLE rooms.membership_log (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The transaction that wrote the entry. Readers go on from transaction ids: ids are given before the commit, so that a
    -- reader who goes on from the highest id would miss an entry that was committed later than a higher one.
    xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
    -- No reference: the entry outlives the room.
    room_id BIGINT NOT NULL,
    -- NULL when the room was deleted, and with it every membership.
    user_id BIGINT,
    reason TEXT NOT NULL CHECK (reason IN ('left', 'removed', 'room_deleted')),
    -- The room's membership_version after this change.
    room_version BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX membership_log_xid ON rooms.membership_log (xid, id);

-- How far the log has been cut off: the highest transaction id of a deleted entry. A reader who wants to go on from there or
-- from before may have missed something.
CREATE TABLE rooms.membership_log_floor (
    is_only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only_row),
    xid XID8 NOT NULL
);

INSERT INTO rooms.membership_log_floor (xid) VALUES ('0');
