#!/bin/sh
# Creates missing roles and schemas, and sets the passwords of the roles. Runs at every start.
set -eu

for service in auth contacts rooms messaging; do
    name=$(echo $service | tr '[:lower:]' '[:upper:]')_PASSWORD
    password=$(cat /secrets/$service-password)
    export "$name=$password"
done
PGPASSWORD=$(cat /secrets/postgres-password)
PGOPTIONS='-c statement_timeout=60s'
export PGPASSWORD PGOPTIONS
exec psql --no-psqlrc --quiet --file=/roles.sql \
    'host=postgres user=postgres dbname=parlance connect_timeout=10'
