"""mysqlclient, built on MariaDB's C library."""

import os
import sys

import MySQLdb

tls = {"ssl_mode": "DISABLED"} if os.environ.get("INTEROP_PLAIN") else {
    "ssl_mode": "VERIFY_IDENTITY",
    "ssl": {"ca": os.environ["MYSQL_SSL_CA"]},
}
try:
    connection = MySQLdb.connect(
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ["MYSQL_TCP_PORT"]),
        user=os.environ["MYSQL_USER"],
        password=os.environ["MYSQL_PWD"],
        database=os.environ["MYSQL_DATABASE"],
        **tls,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER()")
        (user,) = cursor.fetchone()
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_version'")
        (_, version) = cursor.fetchone()
except MySQLdb.Error as error:
    sys.exit(" ".join(str(part) for part in error.args))
print(user, version)
