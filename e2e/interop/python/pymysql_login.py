"""PyMySQL. Sends a cleartext password on request, with or without TLS: require verified TLS."""

import os
import sys

import pymysql

tls = {"ssl_disabled": True} if os.environ.get("INTEROP_PLAIN") else {
    "ssl_ca": os.environ["MYSQL_SSL_CA"],
    "ssl_verify_cert": True,
    "ssl_verify_identity": True,
}
try:
    connection = pymysql.connect(
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
except pymysql.Error as error:
    sys.exit(" ".join(str(part) for part in error.args))
print(user, version)
