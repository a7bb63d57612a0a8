-- One role per service, and one schema per role, the only one that it can see. Run with psql as a
-- superuser in the database of Parlance, with the passwords in the environment. A second run creates
-- what is missing and sets the passwords again.
\set ON_ERROR_STOP on
\set auth_password `printf %s "$AUTH_PASSWORD"`
\set contacts_password `printf %s "$CONTACTS_PASSWORD"`
\set rooms_password `printf %s "$ROOMS_PASSWORD"`
\set messaging_password `printf %s "$MESSAGING_PASSWORD"`

-- The defaults of PUBLIC let every role create temporary tables, and every later role connect.
REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

SELECT format('CREATE ROLE %I', service)
FROM unnest(ARRAY['auth', 'contacts', 'rooms', 'messaging']) AS service
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = service)
\gexec

ALTER ROLE auth LOGIN PASSWORD :'auth_password';
ALTER ROLE contacts LOGIN PASSWORD :'contacts_password';
ALTER ROLE rooms LOGIN PASSWORD :'rooms_password';
ALTER ROLE messaging LOGIN PASSWORD :'messaging_password';

-- A transaction that its client has left open holds locks, and keeps Postgres from cleaning up. No
-- service waits for anything but Postgres within a transaction.
ALTER ROLE auth SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE contacts SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE rooms SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE messaging SET idle_in_transaction_session_timeout = '10s';

GRANT CONNECT ON DATABASE :"DBNAME" TO auth, contacts, rooms, messaging;

CREATE SCHEMA IF NOT EXISTS auth AUTHORIZATION auth;
CREATE SCHEMA IF NOT EXISTS contacts AUTHORIZATION contacts;
CREATE SCHEMA IF NOT EXISTS rooms AUTHORIZATION rooms;
CREATE SCHEMA IF NOT EXISTS messaging AUTHORIZATION messaging;
