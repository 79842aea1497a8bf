// mysql2: `enableCleartextPlugin` permits a cleartext password, with or without TLS. `verifyIdentity`
// has no effect if the host is an IP address.
import { readFileSync } from "node:fs";
import mysql from "mysql2/promise";

const { env } = process;
const tls = env.INTEROP_PLAIN ? {} : { ssl: { ca: readFileSync(env.MYSQL_SSL_CA), verifyIdentity: true } };
try {
  const connection = await mysql.createConnection({
    host: env.MYSQL_HOST,
    port: Number(env.MYSQL_TCP_PORT),
    user: env.MYSQL_USER,
    password: env.MYSQL_PWD,
    database: env.MYSQL_DATABASE,
    enableCleartextPlugin: true,
    ...tls,
  });
  const [[{ user }]] = await connection.query("SELECT CURRENT_USER() AS user");
  const [[{ Value: version }]] = await connection.query("SHOW SESSION STATUS LIKE 'Ssl_version'");
  await connection.end();
  console.log(user, version);
} catch (error) {
  console.error(error.errno ?? "", error.message);
  process.exitCode = 1;
}
