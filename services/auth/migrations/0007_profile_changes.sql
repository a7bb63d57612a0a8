-- For readers of changes of profiles. A transaction of its own: while the index is built, users are
-- read and logged in.
CREATE INDEX users_profile_number ON auth.users (profile_number) WHERE profile_number > 0;
