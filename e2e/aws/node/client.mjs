// The AWS SDK for JavaScript, configured by the environment only. Runs the verbs in order, and
// prints one line for each.
//
// usage: client.mjs INSTANCE VERB...
import { readFileSync } from "node:fs";
import {
  CreateDBInstanceCommand,
  DeleteDBInstanceCommand,
  DescribeDBInstancesCommand,
  RDSClient,
  waitUntilDBInstanceAvailable,
} from "@aws-sdk/client-rds";
import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { Signer } from "@aws-sdk/rds-signer";
import pg from "pg";

const { env } = process;
const [instance, ...verbs] = process.argv.slice(2);
const user = "app";

// Undefined for the SDK's default chain; `assume` sets it to a role's session.
let credentials;
// An existing server; `describe` replaces it.
let [host, port] = [env.PGHOST, Number(env.PGPORT)];
let password;

const sts = () => new STSClient({ credentials });
const rds = () => new RDSClient({ credentials });

async function connected(user, password, work) {
  const tls = { ca: readFileSync(env.COUNTERSIGN_CA) };
  const client = new pg.Client({ host, port, user, password, database: "postgres", ssl: tls });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const does = {
  async identity() {
    return (await sts().send(new GetCallerIdentityCommand({}))).Arn;
  },
  async assume() {
    const { Account } = await sts().send(new GetCallerIdentityCommand({}));
    const role = { RoleArn: `arn:aws:iam::${Account}:role/app-admin`, RoleSessionName: "interop" };
    const { Credentials: session } = await sts().send(new AssumeRoleCommand(role));
    credentials = {
      accessKeyId: session.AccessKeyId,
      secretAccessKey: session.SecretAccessKey,
      sessionToken: session.SessionToken,
    };
    return does.identity();
  },
  async create() {
    const { DBInstance } = await rds().send(
      new CreateDBInstanceCommand({
        DBInstanceIdentifier: instance,
        Engine: "postgres",
        DBInstanceClass: "db.t4g.micro",
        AllocatedStorage: 20,
        MasterUsername: "master",
        MasterUserPassword: env.MASTER_PASSWORD,
        EnableIAMDatabaseAuthentication: true,
      }),
    );
    return DBInstance.DBInstanceStatus;
  },
  async wait() {
    const patience = { client: rds(), minDelay: 1, maxDelay: 1, maxWaitTime: 120 };
    await waitUntilDBInstanceAvailable(patience, { DBInstanceIdentifier: instance });
    return "available";
  },
  async describe() {
    const { DBInstances } = await rds().send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: instance }));
    const [found] = DBInstances;
    [host, port] = [found.Endpoint.Address, found.Endpoint.Port];
    return `${host}:${port} ${found.DbiResourceId} iam=${found.IAMDatabaseAuthenticationEnabled}`;
  },
  async prepare() {
    await connected("master", env.MASTER_PASSWORD, (client) => client.query(`CREATE USER ${user}; GRANT rds_iam TO ${user}`));
    return user;
  },
  async token() {
    password = await new Signer({ hostname: host, port, username: user, credentials }).getAuthToken();
    return password.length;
  },
  async login() {
    const { rows } = await connected(user, password, (client) => client.query("SELECT current_user"));
    return rows[0].current_user;
  },
  async delete() {
    const wanted = { DBInstanceIdentifier: instance, SkipFinalSnapshot: true };
    return (await rds().send(new DeleteDBInstanceCommand(wanted))).DBInstance.DBInstanceStatus;
  },
};

for (const verb of verbs) {
  try {
    console.log(verb, await does[verb]());
  } catch (error) {
    console.error(`${verb}: ${error.name}: ${error.message}`);
    process.exit(1);
  }
}
