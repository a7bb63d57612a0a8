CREATE TABLE auth.users (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- As registered; shown, never compared.
    username TEXT NOT NULL,
    -- NFKC with full case folding, computed in Rust: Postgres folds by locale. Its constraint decides races for a name.
    folded_username TEXT NOT NULL CONSTRAINT users_folded_username_key UNIQUE,
    -- bcrypt with its cost and salt inside, so that the cost can change while older hashes stay good.
    password_hash TEXT NOT NULL,
    -- An inactive user can neither log in nor use a token that is still valid.
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- The few that every verifier of tokens has to know.
CREATE INDEX users_inactive ON auth.users (id) WHERE NOT is_active;
