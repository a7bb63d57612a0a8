-- How two users stand to each other. Invitation and contact are states of one row, so that no race can leave both behind; no row
-- means that they have nothing to do with each other.
CREATE TABLE contacts.pairs (
    -- The id of the invitation, and later of the contact. A pair that was rejected and invited again has a new one.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The two users, lower id first, so that there is one row whoever of them acts.
    low_id BIGINT NOT NULL,
    high_id BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('invited', 'contacts')),
    -- Who of the two invited; stays when they have become contacts.
    inviter_id BIGINT NOT NULL CHECK (inviter_id IN (low_id, high_id)),
    invited_at TIMESTAMPTZ NOT NULL,
    -- When the invitation was accepted; NULL before.
    contacts_since TIMESTAMPTZ,
    CONSTRAINT pairs_order CHECK (low_id < high_id),
    CONSTRAINT pairs_state CHECK ((state = 'contacts') = (contacts_since IS NOT NULL)),
    CONSTRAINT pairs_once UNIQUE (low_id, high_id)
);

-- Together with the unique index: all pairs of a user.
CREATE INDEX pairs_high ON contacts.pairs (high_id);

-- New contacts whose system room has yet to be confirmed by the rooms service. Written in the transaction that makes the contact,
-- deleted when the room is there.
CREATE TABLE contacts.outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    low_id BIGINT NOT NULL,
    high_id BIGINT NOT NULL,
    -- Until then somebody is busy with this row and the others leave it alone. By the clock of the database, which all replicas
    -- share.
    claimed_until TIMESTAMPTZ NOT NULL
);

CREATE INDEX outbox_claimed_until ON contacts.outbox (claimed_until);
