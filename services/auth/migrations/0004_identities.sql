-- The persons for whom a trusted issuer vouches. The key decides races of first exchanges.
CREATE TABLE auth.identities (
    -- The claim iss. A person keeps the account when the operator renames the issuer.
    issuer TEXT COLLATE "C" NOT NULL,
    -- The claim that identifies the person among those of the issuer.
    subject TEXT COLLATE "C" NOT NULL,
    user_id BIGINT NOT NULL REFERENCES auth.users (id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT identities_pkey PRIMARY KEY (issuer, subject)
);

-- For deleting a user.
CREATE INDEX identities_user ON auth.identities (user_id);
