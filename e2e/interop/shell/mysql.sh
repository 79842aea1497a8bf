#!/bin/sh
# The mysql command line: the token is in MYSQL_PWD, the port in MYSQL_TCP_PORT.
# --protocol=tcp is needed for localhost, which otherwise means the Unix socket.
set -eu
tls=VERIFY_IDENTITY
[ -z "${INTEROP_PLAIN:-}" ] || tls=DISABLED
printed=$("${INTEROP_MYSQL:-mysql}" --no-defaults --enable-cleartext-plugin --ssl-mode="$tls" --ssl-ca="$MYSQL_SSL_CA" \
    --protocol=tcp --host="$MYSQL_HOST" --user="$MYSQL_USER" --batch --skip-column-names \
    --execute="SELECT CURRENT_USER(); SHOW SESSION STATUS LIKE 'Ssl_version'" "$MYSQL_DATABASE")
echo "$printed" | sed 'N; s/\n.*\t/ /'
