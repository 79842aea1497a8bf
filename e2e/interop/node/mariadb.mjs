// The mariadb connector of Node.js. With a CA, 3.5 verifies the chain and the host name before it
// sends anything; 3.4 sends a cleartext password to a MariaDB server first. Neither verifies an IP
// address in time: use a host name.
import { readFileSync } from "node:fs";
import mariadb from "mariadb";

const { env } = process;
const tls = env.INTEROP_PLAIN ? {} : { ssl: { ca: readFileSync(env.MYSQL_SSL_CA) } };
try {
  const connection = await mariadb.createConnection({
    host: env.MYSQL_HOST,
    port: Number(env.MYSQL_TCP_PORT),
    user: env.MYSQL_USER,
    password: env.MYSQL_PWD,
    database: env.MYSQL_DATABASE,
    ...tls,
  });
  const [{ user }] = await connection.query("SELECT CURRENT_USER() AS user");
  const [{ Value: version }] = await connection.query("SHOW SESSION STATUS LIKE 'Ssl_version'");
  await connection.end();
  console.log(user, version);
} catch (error) {
  console.error(error.errno ?? "", error.message);
  process.exitCode = 1;
}
