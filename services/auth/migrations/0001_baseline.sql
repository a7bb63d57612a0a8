CREATE TABLE auth.users (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The name as registered. It is shown and never compared.
    username TEXT NOT NULL,
    -- The name to compare: NFKC with full case folding, computed in Rust because Postgres folds by
    -- locale. The constraint decides races for a name. By bytes, because the index of another
    -- collation breaks when the C library of the server changes, and then lets doubles in.
    folded_username TEXT COLLATE "C" NOT NULL CONSTRAINT users_folded_username_key UNIQUE,
    -- bcrypt. The hash contains its cost and salt, so that the cost can change while older hashes
    -- stay valid.
    password_hash TEXT NOT NULL,
    -- An inactive user can neither log in nor use a token that has not expired.
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL,
    -- When is_active last changed; created_at before the first change.
    updated_at TIMESTAMPTZ NOT NULL
);

-- The inactive users, which are few: every verifier of tokens has to know them.
CREATE INDEX users_inactive ON auth.users (id) WHERE NOT is_active;

CREATE TABLE auth.signing_keys (
    -- The thumbprint of the public key (RFC 7638), as in the header of the tokens the key signs.
    kid TEXT COLLATE "C" PRIMARY KEY,
    -- PKCS #8. It leaves this schema only for the memory of the auth service.
    private_key BYTEA NOT NULL,
    public_key BYTEA NOT NULL CHECK (octet_length(public_key) = 32),
    created_at TIMESTAMPTZ NOT NULL,
    -- When the key begins to sign. It is published earlier, so that every verifier knows it by
    -- then.
    signs_from TIMESTAMPTZ NOT NULL,
    -- When the last token signed by this key expires. NULL until the key has a successor.
    retires_at TIMESTAMPTZ
);

-- One key has no successor. This decides races of first starts and of rotations.
CREATE UNIQUE INDEX signing_keys_newest ON auth.signing_keys ((TRUE)) WHERE retires_at IS NULL;

-- The revision of everything that decides whether a token is accepted: keys and inactive users.
-- Triggers increase it with every change, also with one made by hand. Each replica polls the
-- revision and reads the rest when it has grown.
CREATE TABLE auth.access_revision (
    -- Keeps the table at one row.
    is_only BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only),
    revision BIGINT NOT NULL
);

INSERT INTO auth.access_revision (revision) VALUES (1);

CREATE FUNCTION auth.bump_access_revision() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auth.access_revision SET revision = revision + 1;
    RETURN NULL;
END
$$;

-- Only for inactive users, so that registrations do not wait for the lock on the one row.
CREATE TRIGGER inactive_user_inserted AFTER INSERT ON auth.users
    FOR EACH ROW WHEN (NOT NEW.is_active) EXECUTE FUNCTION auth.bump_access_revision();

-- Once a statement, because one statement may deactivate thousands of users.
CREATE TRIGGER user_activity_changed AFTER UPDATE OF is_active OR DELETE ON auth.users
    FOR EACH STATEMENT EXECUTE FUNCTION auth.bump_access_revision();

CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE OR DELETE ON auth.signing_keys
    FOR EACH ROW EXECUTE FUNCTION auth.bump_access_revision();
