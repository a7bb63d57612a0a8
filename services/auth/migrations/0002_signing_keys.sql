CREATE TABLE auth.signing_keys (
    -- The thumbprint of the public key (RFC 7638), as in the header of the tokens it signs.
    kid TEXT PRIMARY KEY,
    -- PKCS #8. It leaves this schema only into the memory of the auth service.
    private_key BYTEA NOT NULL,
    public_key BYTEA NOT NULL CHECK (octet_length(public_key) = 32),
    created_at TIMESTAMPTZ NOT NULL,
    -- A later key is published at once and signs from here on, when every verifier has heard of it.
    signs_from TIMESTAMPTZ NOT NULL,
    -- When the last token it signed has expired; known once a later key was made.
    retires_at TIMESTAMPTZ
);

-- One key has no successor. This decides races of first starts and of rotations.
CREATE UNIQUE INDEX signing_keys_newest ON auth.signing_keys ((TRUE)) WHERE retires_at IS NULL;
