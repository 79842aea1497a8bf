use super::Fixture;

const GOOD: &str = "url = \"postgres://app@db.example.com/orders\"\n";

#[test]
fn reports_all_errors_with_locations() {
    let file = r#"
[proxy]
address = "here"
port = 70000
login-timeout = "15"
colour = "red"

[targets."ja ne"]
url = "postgres://app@db.example.com"

[targets.orders]
engine = "oracle"
host = "db example"
port = 0
tls = "prefer"
roles = ["arn:aws:iam::1:role/x", { external-id = "x" }]
listen = [5433, "nowhere"]
client-auth = { password = "hunter2" }
pool = { min-idle = "two", cold = 1 }
session-timeout = "soon"

[targets.billing]
url = "mysql://app:hunter2@db.example.com"
client-auth = { users = ["no-such-user"], password-env = "X" }
client-tls = { certificate = "a.pem" }
server-auth = "kerberos"
"#;
    insta::assert_snapshot!(Fixture::with(file).error(&[]), @r#"
    cannot use countersign.toml:
    proxy.address (line 3, column 11): "here" is not an IP address
    proxy.port (line 4, column 8): expected a number from 1 to 65535
    proxy.login-timeout (line 5, column 17): "15" is not a duration: write it as 500ms, 15s, 10m, 1h30m or 7d
    proxy.colour (line 6, column 1): unknown field "colour"; known fields: address, port, unix-socket, open-to-network, max-connections, login-timeout, profile, region, assume-role, external-id, sign-host, lazy-refresh, run-connection-test, skip-failed-instance-config, health-check, prometheus, http-address, http-port, otlp-endpoint, structured-logs, quiet, debug, quitquitquit, admin-port, admin-socket, max-sigterm-delay, min-sigterm-delay, exit-zero-on-sigterm
    targets."ja ne" (line 8, column 1): "ja ne" is not a valid name of a target: use 1 to 63 letters, digits, _ or -, and not a subcommand such as status
    targets.orders.engine (line 12, column 10): the engine "oracle" is not postgres, mariadb or mysql
    targets.orders.host (line 13, column 8): the host "db example" is neither a DNS name nor an IP address
    targets.orders.port (line 14, column 8): expected a number from 1 to 65535
    targets.orders.tls (line 15, column 7): "prefer" is not one of verify-full, verify-ca, require, disable
    targets.orders.roles[0] (line 16, column 10): the ARN "arn:aws:iam::1:role/x" has an account that is not twelve digits
    targets.orders.roles[1] (line 16, column 35): arn is missing
    targets.orders.listen[1] (line 17, column 17): a listener is written as 5433, "127.0.0.1:5433", "[::1]:5433", "unix:/run/app/.s.PGSQL.5432" or "systemd:NAME"
    targets.orders.client-auth.password (line 18, column 28): passwords are not allowed in this file: remove it and write password-file = "PATH" or password-env = "VARIABLE"
    targets.orders.pool.min-idle (line 19, column 21): expected a number from 0 to 16000
    targets.orders.pool.cold (line 19, column 28): unknown field "cold"; known fields: min-idle, max-idle, reuse, idle-timeout, max-lifetime
    targets.orders.session-timeout (line 20, column 19): "soon" is not a duration: write it as 500ms, 15s, 10m, 1h30m or 7d
    targets.billing.url (line 23, column 7): the URL contains a password: remove it, a token takes its place; password-file names the file of another password
    targets.billing.client-auth (line 24, column 15): exactly one of password-file, password-env, users is expected
    targets.billing.client-auth.users[0] (line 24, column 26): cannot find the system user "no-such-user": no such user
    targets.billing.client-auth.password-env (line 24, column 58): the variable X is not set
    targets.billing.client-tls (line 25, column 14): key is missing
    targets.billing.server-auth (line 26, column 15): "iam", { password-file = "PATH" } or { password-env = "VARIABLE" } is expected
    "#);
}

#[test]
fn reports_conflicting_fields() {
    let file = r#"
[targets.a]
url = "postgres://app@db.example.com"
listen = "0.0.0.0:5432"

[targets.b]
url = "postgres://app@db.example.com"
tls = "disable"
listen = "127.0.0.1:6000"
client-auth = { users = [0] }

[targets.c]
url = "mysql://app@db.example.com"
tls = "require"
ca-file = "ca.pem"
host = "again.example.com"

[targets.d]
url = "mysql://app@db.example.com"
listen = "127.0.0.1:6000"
"#;
    insta::assert_snapshot!(Fixture::with(file).error(&[]), @r#"
    cannot use countersign.toml:
    targets.a (line 2, column 1): clients of other machines would be accepted at 0.0.0.0:5432 without a password: set client-auth = { password-file = "PATH" } (in a URL: client-password-file=PATH), or allow it with open-to-network
    targets.b.tls (line 8, column 7): tokens would be sent in clear text: remove tls, or write at least require
    targets.b.client-auth (line 10, column 15): users require Unix sockets, which identify the client's system user: 127.0.0.1:6000 is a TCP listener
    targets.c.host (line 16, column 8): this is set twice: here, and in the URL or the variables
    targets.d.listen (line 20, column 10): the target b already listens there
    "#);
}

#[test]
fn syntax_errors_have_a_location_and_quote_nothing() {
    let error = Fixture::with("[targets.a]\nurl = \"postgres://app:hunter2@db\nx = 1\n").error(&[]);
    assert!(error.contains("line 2, column ") && !error.contains("hunter2"), "{error}");
}

#[test]
fn errors_of_urls_do_not_repeat_the_url() {
    let fixture = Fixture::default();
    insta::assert_snapshot!(fixture.error(&[
        "postgres://app:hunter2@db.example.com?sslmode=prefer&colour=red",
        "oracle://db",
        "mysql://app@db?port=1&unix-socket-path=/tmp/x&external-id=1",
        "postgres://app@db?address=0.0.0.0",
    ]), @r#"
    target 1: the URL contains a password: remove it, a token takes its place; password-file names the file of another password
    target 1: sslmode=prefer falls back to no TLS: write verify-full, or require if the server cannot be verified
    target 1: the URL's parameter "colour" is not one of name, address, port, unix-socket, unix-socket-path, sign-host, region, profile, role, assume-role, external-id, session-name, sslmode, ssl-mode, sslrootcert, ssl-ca, target_session_attrs, max-connections, connect-timeout, session-timeout, min-idle, password-file, password-env, client-password-file, client-password-env
    target 2: cannot read the URL: its scheme is not supported; write it as postgres://USER@HOST:PORT/DATABASE, mysql://… or mariadb://…
    target 3: the URL sets unix-socket-path twice, or by two names
    target 3: the URL's external-id belongs to a role: write role=ARN before it
    target 4: clients of other machines would be accepted at 0.0.0.0:5433 without a password: set client-auth = { password-file = "PATH" } (in a URL: client-password-file=PATH), or allow it with open-to-network
    "#);
}

#[test]
fn reports_unknown_targets_and_missing_files() {
    let fixture = Fixture::with(&format!("[targets.orders]\n{GOOD}[targets.billing]\n{GOOD}"));
    assert_eq!(
        fixture.error(&["shop"]),
        "cannot find the target \"shop\": countersign.toml has only orders, billing"
    );
    assert_eq!(
        fixture.error(&["--config", "other.toml"]),
        "cannot find the configuration file other.toml"
    );
    insta::assert_snapshot!(Fixture::default().error(&[]), @"cannot start a proxy: no target is given; pass a URL, or write countersign.toml (see docs/proxy.md)");
    insta::assert_snapshot!(Fixture::default().error(&["shop"]), @r#"cannot find the target "shop": it is not a URL, and no countersign.toml was found"#);
    insta::assert_snapshot!(Fixture::with("[proxy]\n").error(&[]), @r#"
    cannot use countersign.toml:
    line 1, column 1: the file has no targets: add a table such as [targets.orders]
    "#);
}

#[test]
fn errors_and_debug_output_contain_no_passwords() {
    for file in [
        "[targets.a]\nurl = \"postgres://app:hunter2@db\"\n",
        "[targets.a]\nurl = \"postgres://app@db\"\nserver-auth = { password = \"hunter2\" }\n",
        "[targets.a]\nurl = \"postgres://app@db\"\npassword = \"hunter2\"\n",
        "[targets.a]\nHOST = \"db\"\nPORT = 5432\nUSER = \"app\"\nPASS = \"hunter2\"\n",
        "[targets.a]\nCODER_PG_CONNECTION_URL = \"postgres://app:hunter2@db\"\n",
        "[targets.a]\nurl = \"postgres://app@db\"\nclient-auth = \"hunter2\"\n",
    ] {
        let error = Fixture::with(file).error(&[]);
        assert!(!error.contains("hunter2"), "{error}");
    }
    let fixture =
        Fixture::with(&format!("[targets.a]\n{GOOD}client-auth = {{ password-env = \"PW\" }}\n"))
            .variable("PW", "hunter2");
    assert!(!format!("{:?}", fixture.plan(&[]).unwrap()).contains("hunter2"));
}

#[test]
fn skips_targets_with_errors() {
    let file = format!(
        "[targets.orders]\n{GOOD}[targets.billing]\n{GOOD}colour = 1\n\
         [targets.shop]\n{GOOD}listen = \"0.0.0.0:1\"\n"
    );
    let fixture = Fixture::with(&file);
    let plan = fixture.plan(&["--skip-failed-instance-config"]).unwrap();
    assert_eq!(
        plan.settings.targets.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(),
        ["orders"]
    );
    assert_eq!(plan.skipped.len(), 2, "{:?}", plan.skipped);
    assert!(
        plan.skipped[0].starts_with("targets.billing.colour (line 5, column 1): unknown field"),
        "{:?}",
        plan.skipped
    );
    assert!(fixture.plan(&[]).is_err());
    let all_wrong = Fixture::with("[targets.a]\n").error(&["--skip-failed-instance-config"]);
    assert!(all_wrong.contains("cannot serve any target"), "{all_wrong}");
}
