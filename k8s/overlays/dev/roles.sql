-- Run once, by the superuser, in the new database: a role for each service, and a schema for each role, the only one it can see.
\getenv auth_password AUTH_PASSWORD
\getenv contacts_password CONTACTS_PASSWORD
\getenv rooms_password ROOMS_PASSWORD
\getenv messaging_password MESSAGING_PASSWORD

REVOKE ALL ON DATABASE parlance FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

CREATE ROLE auth LOGIN PASSWORD :'auth_password';
CREATE ROLE contacts LOGIN PASSWORD :'contacts_password';
CREATE ROLE rooms LOGIN PASSWORD :'rooms_password';
CREATE ROLE messaging LOGIN PASSWORD :'messaging_password';
GRANT CONNECT ON DATABASE parlance TO auth, contacts, rooms, messaging;

CREATE SCHEMA auth AUTHORIZATION auth;
CREATE SCHEMA contacts AUTHORIZATION contacts;
CREATE SCHEMA rooms AUTHORIZATION rooms;
CREATE SCHEMA messaging AUTHORIZATION messaging;
