ALTER TABLE auth.access_revision
    -- The number of the last change of a profile.
    ADD COLUMN profile_revision BIGINT NOT NULL DEFAULT 0;

-- The numbers of changes of profiles. A sequence, because a failover that may have lost commits
-- raises all sequences of the schema: no number is given out twice.
CREATE SEQUENCE auth.profile_numbers;

ALTER TABLE auth.users
    -- What the user shows; NULL if it is not set. A change of these moves updated_at, too.
    ADD COLUMN display_name TEXT,
    ADD COLUMN avatar_url TEXT,
    -- The number of the last change of these two; 0 before the first. It is given out under the
    -- lock of the row in auth.access_revision. So numbers become visible in their order, and a
    -- reader that remembers the last one misses none.
    ADD COLUMN profile_number BIGINT NOT NULL DEFAULT 0;

CREATE FUNCTION auth.number_profile() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    -- The lock first: the statement that takes it would evaluate nextval before.
    PERFORM FROM auth.access_revision FOR NO KEY UPDATE;
    NEW.profile_number := nextval('auth.profile_numbers');
    UPDATE auth.access_revision SET profile_revision = NEW.profile_number;
    RETURN NEW;
END
$$;

CREATE TRIGGER profile_changed BEFORE UPDATE OF display_name, avatar_url ON auth.users
    FOR EACH ROW
    WHEN ((OLD.display_name, OLD.avatar_url) IS DISTINCT FROM (NEW.display_name, NEW.avatar_url))
    EXECUTE FUNCTION auth.number_profile();
