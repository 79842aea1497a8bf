use countersign_connect::tls::Verification;
use countersign_core::name::Engine;
use countersign_proxy::settings::{ServerAuth, TargetSettings};

use super::{Fixture, logs_in_with};

fn facts(target: &TargetSettings) -> (Engine, &str, u16, Option<&str>, Option<&str>, Verification) {
    let user = target.user.as_ref().map(|user| user.as_str());
    (
        target.engine,
        target.host.as_str(),
        target.port,
        user,
        target.database.as_deref(),
        target.tls.verification,
    )
}

#[test]
fn reads_variables_of_hoop() {
    let table = "[targets.pgdemo]\nHOST = \"db.example.com\"\nPORT = \"5432\"\n\
        USER = \"_aws_iam_rds:app\"\nPASS = \"_aws_iam_rds:authtoken\"\nDB = \"orders\"\n\
        SSLMODE = \"require\"\nregion = \"eu-west-1\"\nprofile = \"dev\"\n";
    let target = Fixture::with(table).target(&[]);
    assert_eq!(
        facts(&target),
        (
            Engine::Postgres,
            "db.example.com",
            5432,
            Some("app"),
            Some("orders"),
            Verification::Require
        )
    );
    let ServerAuth::Iam(credentials) = &target.server_auth else { panic!("{target:?}") };
    assert_eq!(credentials.profile.as_deref(), Some("dev"));

    let file = "# hoop\nHOST=db.example.com\nexport PORT=3306\nUSER='_aws_iam_rds:app'\nDB=orders\n\
        PATH=/bin\n";
    let target =
        Fixture::with("[targets.my]\nenv-file = \"hoop.env\"\n").file("hoop.env", file).target(&[]);
    assert_eq!(
        facts(&target),
        (
            Engine::Mysql,
            "db.example.com",
            3306,
            Some("app"),
            Some("orders"),
            Verification::VerifyFull
        )
    );
}

#[test]
fn reads_a_password_from_an_env_file() {
    let file = "HOST=db.example.com\nPORT=5432\nUSER=app\nPASS=hunter2\n";
    let target = Fixture::with("[targets.old]\nenv-file = \"hoop.env\"\n")
        .file("hoop.env", file)
        .target(&[]);
    assert!(logs_in_with(&target, "hunter2"));
}

#[test]
fn reads_variables_of_coder() {
    let url = "postgresql://coder@mydb.abc.eu-west-1.rds.amazonaws.com/coder?sslmode=require";
    let table = format!(
        "[targets.coder]\nCODER_PG_AUTH = \"awsiamrds\"\nCODER_PG_CONNECTION_URL = \"{url}\"\n"
    );
    let target = Fixture::with(&table).target(&[]);
    let host = "mydb.abc.eu-west-1.rds.amazonaws.com";
    assert_eq!(
        facts(&target),
        (Engine::Postgres, host, 5432, Some("coder"), Some("coder"), Verification::Require)
    );
}

#[test]
fn reports_errors_of_variables_with_locations() {
    let file = r#"
[targets.a]
HOST = "db.example.com"
USER = "_aws_iam_rds:"
PASS = "_aws_iam_rds:token"
SSLMODE = "prefer"

[targets.b]
HOST = "db.example.com"
PORT = 6000
USER = "app"

[targets.c]
CODER_PG_AUTH = "password"
CODER_PG_CONNECTION_URL = "postgres://app@db"
host = "other"

[targets.d]
env-file = "broken.env"
"#;
    let fixture = Fixture::with(file).file("broken.env", "HOST=db\nhunter2\n");
    insta::assert_snapshot!(fixture.error(&[]), @r#"
    cannot use countersign.toml:
    targets.a (line 2, column 1): engine is missing: neither PORT nor SSLMODE implies one
    targets.a.USER (line 4, column 8): the database user is missing after _aws_iam_rds:
    targets.a.PASS (line 5, column 8): _aws_iam_rds:authtoken requires USER=_aws_iam_rds:DBUSER
    targets.a.SSLMODE (line 6, column 11): SSLMODE=prefer falls back to no TLS: write verify-full, or require if the server cannot be verified
    targets.b (line 8, column 1): engine is missing: neither PORT nor SSLMODE implies one
    targets.c.CODER_PG_AUTH (line 14, column 17): awsiamrds is expected; for a password, write url and server-auth = { password-file = … }
    targets.c.host (line 15, column 27): this is set twice: here, and in the URL or the variables
    targets.d.env-file (line 19, column 12): line 2 is not NAME=VALUE
    "#);
}

#[test]
fn reads_all_parameters_of_a_url() {
    let role = "arn:aws:iam::111122223333:role/a";
    let url = format!(
        "mysql://an%40a@db.example.com:3307/or%2Fders?name=shop&sign-host=rds.example.com:3306\
         &region=eu-west-1&role={role}&session-name=me&ssl-mode=VERIFY_CA&ssl-ca=/etc/ca.pem\
         &min-idle=4&max-connections=9&session-timeout=1h"
    );
    let target = Fixture::default().target(&[&url]);
    assert_eq!(
        facts(&target),
        (
            Engine::Mysql,
            "db.example.com",
            3307,
            Some("an@a"),
            Some("or/ders"),
            Verification::VerifyCa
        )
    );
    assert_eq!(
        (target.name.as_str(), target.pool.min_idle, target.max_connections),
        ("shop", 4, 9)
    );
    let ServerAuth::Iam(settings) = &target.server_auth else { panic!("{target:?}") };
    assert_eq!(
        (settings.roles[0].arn.as_str(), settings.roles[0].session_name.as_deref()),
        (role, Some("me"))
    );
    let names: Vec<_> = Fixture::default()
        .plan(&["mysql://a@db.x.com", "mysql://b@db.y.com", "mysql://10.0.0.1"])
        .unwrap()
        .settings
        .targets;
    assert_eq!(
        names.iter().map(|target| target.name.as_str()).collect::<Vec<_>>(),
        ["db", "db-2", "at-10-0-0-1"]
    );
}
