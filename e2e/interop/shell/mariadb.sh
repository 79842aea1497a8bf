#!/bin/sh
# The mariadb command line: the token is in MYSQL_PWD, the port in MYSQL_TCP_PORT.
# --protocol=tcp is needed for localhost, which otherwise means the Unix socket.
set -eu
set -- --ssl-ca="$MYSQL_SSL_CA" --ssl-verify-server-cert
[ -z "${INTEROP_PLAIN:-}" ] || set -- --skip-ssl
printed=$(mariadb --no-defaults "$@" --protocol=tcp --host="$MYSQL_HOST" --user="$MYSQL_USER" --batch --skip-column-names \
    --execute="SELECT CURRENT_USER(); SHOW SESSION STATUS LIKE 'Ssl_version'" "$MYSQL_DATABASE")
echo "$printed" | sed 'N; s/\n.*\t/ /'
