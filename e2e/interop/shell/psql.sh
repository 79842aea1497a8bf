#!/bin/sh
# psql: the token is in PGPASSWORD; host, port, user, database and TLS settings are in the
# variables of libpq.
set -eu
[ -z "${INTEROP_PLAIN:-}" ] || export PGSSLMODE=disable
psql --no-psqlrc --no-password --no-align --tuples-only --field-separator=' ' \
    --command='SELECT current_user, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()'
