-- What decides whether a token is accepted (keys, inactive users) has one number, which grows with every change, whoever makes
-- it. Replicas look at it alone and read the rest when it has grown.
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

-- A registration changes nothing here, so it does not queue for the one row.
CREATE TRIGGER inactive_user_inserted AFTER INSERT ON auth.users
    FOR EACH ROW WHEN (NOT NEW.is_active) EXECUTE FUNCTION auth.bump_access_revision();

-- Once a statement: thousands of users may be deactivated by one.
CREATE TRIGGER user_activity_changed AFTER UPDATE OF is_active OR DELETE ON auth.users
    FOR EACH STATEMENT EXECUTE FUNCTION auth.bump_access_revision();

CREATE TRIGGER signing_key_changed AFTER INSERT OR UPDATE OR DELETE ON auth.signing_keys
    FOR EACH ROW EXECUTE FUNCTION auth.bump_access_revision();
