-- NULL: the account has no password, and no password opens it.
ALTER TABLE auth.users ALTER COLUMN password_hash DROP NOT NULL;

-- The costs of the stored hashes, for the highest one: `$2b$12$…` has the cost 12. By bytes, as
-- above all other indexes on text.
CREATE INDEX users_hash_cost ON auth.users (substr(password_hash, 5, 2) COLLATE "C");

-- Failed log-ins in a row. An hour after the last one the row is void, and is deleted.
CREATE TABLE auth.log_in_failures (
    -- SHA-256 of the folded name, whether a user has it or not. Not the name: people type passwords
    -- where the name belongs.
    account BYTEA NOT NULL CHECK (octet_length(account) = 32),
    -- The network that the log-ins came from; empty in the row that counts those from everywhere.
    network TEXT COLLATE "C" NOT NULL,
    failures INTEGER NOT NULL,
    -- By the clock of the database, as everything that is compared with it.
    last_failed_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (account, network)
);

-- For deleting the oldest rows.
CREATE INDEX log_in_failures_last_failed_at ON auth.log_in_failures (last_failed_at);

-- The accounts that must wait for the next try, for the metric.
CREATE INDEX log_in_failures_waiting ON auth.log_in_failures (last_failed_at)
    WHERE network = '' AND failures >= 5;

-- Networks from which an account was registered or logged in to within 30 days. They do not wait
-- for failures from elsewhere.
CREATE TABLE auth.known_networks (
    user_id BIGINT NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    network TEXT COLLATE "C" NOT NULL,
    -- By the clock of the database.
    last_used_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, network)
);

-- For deleting the oldest rows.
CREATE INDEX known_networks_last_used_at ON auth.known_networks (last_used_at);

-- Codes that reset a password. A user has one at most: the newest.
CREATE TABLE auth.reset_codes (
    user_id BIGINT PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
    -- SHA-256 of the code, which is shown to the operator and stored nowhere.
    code_hash BYTEA NOT NULL UNIQUE CHECK (octet_length(code_hash) = 32),
    -- By the clock of the database.
    expires_at TIMESTAMPTZ NOT NULL
);

-- For deleting expired codes.
CREATE INDEX reset_codes_expires_at ON auth.reset_codes (expires_at);
