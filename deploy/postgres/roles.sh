#!/bin/sh
# Runs once, when the database is made: a role for each service that may make its own schema and read no other.
set -eu

for service in metrics alerting; do
  password=$(printenv "UPTAKE_POSTGRES_$(printf '%s' "$service" | tr '[:lower:]' '[:upper:]')_PASSWORD")
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set role="$service" --set password="$password" --set database="$POSTGRES_DB" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
GRANT CREATE ON DATABASE :"database" TO :"role";
SQL
done
