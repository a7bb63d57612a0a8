-- How often all sessions of the user have been ended at once. A log-in that read another number
-- before it checked the password checks against a password that may have been replaced.
ALTER TABLE auth.users ADD COLUMN end_all_count BIGINT NOT NULL DEFAULT 0;

ALTER TABLE auth.access_revision
    -- The revision of auth.ended_access. It has one of its own, because sessions end often, and
    -- keys and inactive users need not be read again then.
    ADD COLUMN ended_revision BIGINT NOT NULL DEFAULT 0,
    -- Sessions of a lower generation have ended: they began before all keys were replaced at once.
    ADD COLUMN session_generation BIGINT NOT NULL DEFAULT 0;

-- The live sessions, and those that have expired lately. The time of these two tables is that of
-- the database, because the clocks of replicas differ.
CREATE TABLE auth.sessions (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id BIGINT NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- The last log-in or refresh.
    last_used_at TIMESTAMPTZ NOT NULL,
    -- When the session ends if nothing more happens.
    expires_at TIMESTAMPTZ NOT NULL,
    -- No refresh moves expires_at beyond this time.
    ends_at TIMESTAMPTZ NOT NULL,
    -- The latest expiry of an access token, by the clock of the replica that issued the token.
    tokens_expire_at TIMESTAMPTZ NOT NULL,
    -- The number of refresh tokens made so far.
    refresh_token_count BIGINT NOT NULL,
    -- Who logged in, for the user to recognise the session. NULL if it is not known.
    user_agent TEXT,
    address TEXT
);

-- For the list of a user's sessions, and to find the oldest.
CREATE INDEX sessions_user ON auth.sessions (user_id, id);

-- For the purge.
CREATE INDEX sessions_expired ON auth.sessions (expires_at);

CREATE TABLE auth.refresh_tokens (
    -- SHA-256. The token itself is stored nowhere.
    hash BYTEA PRIMARY KEY CHECK (octet_length(hash) = 32),
    session_id BIGINT NOT NULL REFERENCES auth.sessions (id) ON DELETE CASCADE,
    -- The tokens of a session are numbered from 1 on, in the order in which they were made.
    number BIGINT NOT NULL,
    -- The number of the token that was exchanged for this one. NULL in the one of the log-in.
    predecessor BIGINT,
    expires_at TIMESTAMPTZ NOT NULL,
    -- NULL until the token is used.
    first_used_at TIMESTAMPTZ,
    -- True if a token has been used for which this one was exchanged. Kept here, because the other
    -- token may be gone.
    is_succeeded BOOLEAN NOT NULL DEFAULT FALSE,
    UNIQUE (session_id, number)
);

-- To find the oldest unused ones of a session.
CREATE INDEX refresh_tokens_unused ON auth.refresh_tokens (session_id, number)
    WHERE first_used_at IS NULL;

-- For the purge.
CREATE INDEX refresh_tokens_expired ON auth.refresh_tokens (expires_at);

-- The tokens that have ended before they expire: every verifier has to know them until then. Each
-- row has one of session_id, token_id and user_id.
CREATE TABLE auth.ended_access (
    -- Given out under the lock of the row in auth.access_revision. So rows become visible in the
    -- order of their numbers, and a reader that remembers the last number misses none.
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- All tokens of the session have ended.
    session_id BIGINT UNIQUE,
    -- The token with this id (claim jti), which has no session, has ended.
    token_id TEXT COLLATE "C" UNIQUE,
    -- All tokens of the user that have no session and were issued up to this time have ended.
    user_id BIGINT UNIQUE,
    issued_until TIMESTAMPTZ,
    -- When the last of the tokens expires.
    expires_at TIMESTAMPTZ NOT NULL,
    CHECK (num_nonnulls(session_id, token_id, user_id) = 1),
    CHECK ((user_id IS NULL) = (issued_until IS NULL))
);

-- For the purge.
CREATE INDEX ended_access_expired ON auth.ended_access (expires_at);

CREATE FUNCTION auth.bump_ended_revision() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auth.access_revision SET ended_revision = ended_revision + 1;
    RETURN NULL;
END
$$;

-- Before the statement: the lock is taken before the first number is given out.
CREATE TRIGGER access_ended BEFORE INSERT ON auth.ended_access
    FOR EACH STATEMENT EXECUTE FUNCTION auth.bump_ended_revision();

-- A session ends when its row is deleted, whoever deletes it. Left out are sessions whose tokens
-- have expired, by any clock, and those of a lower generation, whose keys are not accepted.
CREATE FUNCTION auth.note_ended_sessions() RETURNS TRIGGER LANGUAGE plpgsql AS $$
DECLARE
    ids BIGINT[];
    expiries TIMESTAMPTZ[];
BEGIN
    SELECT array_agg(id), array_agg(tokens_expire_at)
    INTO ids, expiries
    FROM deleted
    WHERE tokens_expire_at > now() - INTERVAL '10 minutes'
        AND generation = (SELECT session_generation FROM auth.access_revision);
    IF ids IS NOT NULL THEN
        INSERT INTO auth.ended_access (session_id, expires_at)
        SELECT * FROM unnest(ids, expiries);
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER sessions_deleted AFTER DELETE ON auth.sessions
    REFERENCING OLD TABLE AS deleted
    FOR EACH STATEMENT EXECUTE FUNCTION auth.note_ended_sessions();
