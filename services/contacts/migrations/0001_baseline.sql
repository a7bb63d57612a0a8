-- Pairs of users. Invitation and contact are states of one row, so that no race can leave both. No
-- row means that the two users have no relation.
CREATE TABLE contacts.pairs (
    -- The id of the invitation, and later of the contact. After a rejection, the next invitation of
    -- the same users has a new id.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The two users, lower id first, so that there is one row whichever of them acts.
    low_id BIGINT NOT NULL,
    high_id BIGINT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('invited', 'contacts')),
    -- The user who invited. It stays when the two become contacts.
    inviter_id BIGINT NOT NULL CHECK (inviter_id IN (low_id, high_id)),
    invited_at TIMESTAMPTZ NOT NULL,
    -- When the invitation was accepted; NULL before.
    contacts_since TIMESTAMPTZ,
    CONSTRAINT pairs_order CHECK (low_id < high_id),
    CONSTRAINT pairs_state CHECK ((state = 'contacts') = (contacts_since IS NOT NULL)),
    CONSTRAINT pairs_once UNIQUE (low_id, high_id)
);

-- Together with the index of pairs_once: finds all pairs of a user.
CREATE INDEX pairs_high ON contacts.pairs (high_id);

-- New contacts whose system room the rooms service has not confirmed. A row is written by the
-- transaction that makes the contact, and deleted when the room is made.
CREATE TABLE contacts.outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The two contacts, as in contacts.pairs.
    low_id BIGINT NOT NULL,
    high_id BIGINT NOT NULL,
    -- Until then one replica is working on this row, and the others skip it. Set by the clock of
    -- the database, which all replicas share.
    claimed_until TIMESTAMPTZ NOT NULL,
    -- Two users become contacts once. The index also serves look-ups by pair.
    CONSTRAINT outbox_once UNIQUE (low_id, high_id)
);

-- Finds the rows that no replica has claimed.
CREATE INDEX outbox_claimed_until ON contacts.outbox (claimed_until);
