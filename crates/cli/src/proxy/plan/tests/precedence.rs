use std::time::Duration;

use countersign_proxy::settings::{ClientAuth, ServerAuth, TargetSessionAttrs};

use super::{Fixture, is_password, listeners};

const URL: &str = "postgres://app@mydb.abc.eu-west-1.rds.amazonaws.com/orders";

#[test]
fn urls_override_flags_and_flags_override_the_file() {
    let file = "[proxy]\nprofile = \"file\"\nregion = \"eu-west-1\"\nmax-connections = 5\n\
        login-timeout = \"1m\"\n[targets.orders]\nurl = \"postgres://app@db.example.com\"\n\
        profile = \"own\"\n";
    let fixture = Fixture::with(file);
    let profile = |arguments: &[&str]| match fixture.target(arguments).server_auth {
        ServerAuth::Iam(settings) => settings.profile,
        ServerAuth::Password(_) => None,
    };
    assert_eq!(profile(&[]).as_deref(), Some("own"));
    assert_eq!(profile(&["--profile", "flag"]).as_deref(), Some("flag"));
    assert_eq!(profile(&[URL]).as_deref(), Some("file"));
    assert_eq!(
        profile(&[&format!("{URL}?profile=url"), "--profile", "flag"]).as_deref(),
        Some("url")
    );
    let plan = fixture.plan(&["--max-connections", "7"]).unwrap();
    assert_eq!(
        (plan.settings.max_connections, plan.settings.login_timeout),
        (7, Duration::from_secs(60))
    );
    assert_eq!(fixture.target(&[]).region.unwrap().as_str(), "eu-west-1");
}

#[test]
fn flags_disable_what_the_file_enables() {
    let fixture =
        Fixture::with(&format!("[proxy]\nhealth-check = true\n[targets.a]\nurl = \"{URL}\"\n"));
    assert!(
        fixture.plan(&[]).unwrap().operation.http.is_some_and(|http| http.health && !http.metrics)
    );
    assert!(fixture.plan(&["--health-check=false"]).unwrap().operation.http.is_none());
    let admin =
        fixture.plan(&["--quitquitquit", "--admin-port", "9999"]).unwrap().operation.admin.unwrap();
    assert_eq!(
        (admin.address.to_string().as_str(), admin.quit, admin.debug),
        ("127.0.0.1:9999", true, false)
    );
}

#[test]
fn assigns_consecutive_free_ports() {
    let fixture = Fixture::default();
    let ports = |arguments: &[&str]| -> Vec<String> {
        fixture.plan(arguments).unwrap().settings.targets.iter().flat_map(listeners).collect()
    };
    let mysql = "mysql://app@db.example.com";
    assert_eq!(
        ports(&[URL, mysql, URL, mysql]),
        ["127.0.0.1:5432", "127.0.0.1:3306", "127.0.0.1:5433", "127.0.0.1:3307"]
    );
    assert_eq!(
        ports(&["--port", "6000", URL, mysql, URL]),
        ["127.0.0.1:6000", "127.0.0.1:6001", "127.0.0.1:6002"]
    );
    let own = format!("{URL}?port=5432");
    assert_eq!(ports(&[URL, &own, URL]), ["127.0.0.1:5433", "127.0.0.1:5432", "127.0.0.1:5434"]);
    assert_eq!(ports(&["--address", "::1", URL]), ["[::1]:5432"]);
    assert_eq!(
        ports(&["--unix-socket", "/run/db", URL, mysql]),
        ["/run/db/mydb/.s.PGSQL.5432", "/run/db/db"]
    );
    assert_eq!(
        ports(&[&format!("{URL}?unix-socket=/tmp/x"), mysql]),
        ["/tmp/x/mydb/.s.PGSQL.5432", "127.0.0.1:3306"]
    );
}

#[test]
fn targets_keep_their_ports_on_reload() {
    let table = |name: &str| format!("[targets.{name}]\nurl = \"{URL}\"\n");
    let fixture = Fixture::with(&(table("a") + &table("b")));
    let before = fixture.plan(&[]).unwrap();
    let fixture = fixture.file("countersign.toml", &(table("new") + &table("b")));
    let after = fixture.reload(&[], Some(&before)).unwrap();
    let assigned: Vec<_> = after
        .settings
        .targets
        .iter()
        .map(|target| (target.name.as_str(), listeners(target)))
        .collect();
    assert_eq!(
        assigned,
        [("new", vec!["127.0.0.1:5432".to_owned()]), ("b", vec!["127.0.0.1:5433".to_owned()])]
    );
}

#[test]
fn other_machines_require_a_password_or_open_to_network() {
    let fixture = Fixture::default().variable("PW", "hunter2");
    let error = fixture.error(&["--address", "0.0.0.0", URL]);
    assert!(error.starts_with("target 1: ") && error.contains("open-to-network"), "{error}");
    assert_eq!(
        fixture.target(&["--address", "0.0.0.0", "--open-to-network", URL]).client_auth,
        ClientAuth::TrustNetwork
    );
    let target =
        fixture.target(&["--address", "0.0.0.0", &format!("{URL}?client-password-env=PW")]);
    assert!(is_password(&target.client_auth, "hunter2"));
}

#[test]
fn reads_all_fields_of_a_target() {
    let file = r#"
[targets.orders]
engine = "mysql"
host = "127.0.0.1"
port = 13306
user = "app"
database = "orders"
sign-host = "mydb.abc.eu-west-1.rds.amazonaws.com"
roles = [
    "arn:aws:iam::111122223333:role/hub",
    { arn = "arn:aws:iam::444455556666:role/db", external-id = "id", session-name = "me" },
]
tls = "verify-ca"
ca-file = "ca.pem"
target-session-attrs = "read-write"
listen = ["127.0.0.2:3307", "unix:run/orders", "systemd:orders"]
client-auth = { password-file = "password" }
client-tls = { certificate = "a.pem", key = "/etc/a.key", required = true }
pool = { min-idle = 3, reuse = true, max-idle = 9, idle-timeout = "1m", max-lifetime = "1h" }
max-connections = 50
logins-per-second = 20
connect-timeout = "5s"
session-timeout = "8h"
"#;
    let fixture = Fixture::with(file).file("password", "hunter2\n");
    let target = fixture.target(&[]);
    assert_eq!(
        target.sign.as_ref().map(|(host, port)| (host.as_str(), *port)),
        Some(("mydb.abc.eu-west-1.rds.amazonaws.com", 3306))
    );
    assert!(is_password(&target.client_auth, "hunter2"));
    assert_eq!(
        (target.target_session_attrs, target.max_connections, target.logins_per_second),
        (TargetSessionAttrs::ReadWrite, 50, 20)
    );
    assert_eq!(
        listeners(&target),
        ["127.0.0.2:3307", &fixture.root().join("run/orders").display().to_string(), "orders"]
    );
    let ServerAuth::Iam(settings) = &target.server_auth else { panic!("{target:?}") };
    assert_eq!(settings.roles.len(), 2);
    assert_eq!(
        (settings.roles[1].external_id.as_deref(), settings.roles[1].session_name.as_deref()),
        (Some("id"), Some("me"))
    );
    assert_eq!(
        (target.pool.min_idle, target.pool.reuse, target.pool.max_lifetime),
        (3, true, Duration::from_secs(3600))
    );
    assert_eq!(fixture.target(&["--lazy-refresh"]).pool.min_idle, 0);
}

#[test]
fn flags_apply_to_every_target() {
    let arguments = [
        "--assume-role",
        "arn:aws:iam::111122223333:role/a",
        "--assume-role",
        "arn:aws:iam::111122223333:role/b",
    ];
    let arguments =
        [&arguments[..], &["--external-id", "id", "--sign-host", "db.example.com:5555", URL]]
            .concat();
    let fixture = Fixture::default();
    let target = fixture.target(&arguments);
    let ServerAuth::Iam(settings) = &target.server_auth else { panic!("{target:?}") };
    let ids: Vec<_> = settings.roles.iter().map(|role| role.external_id.as_deref()).collect();
    assert_eq!((ids, target.sign.map(|(_, port)| port)), (vec![None, Some("id")], Some(5555)));
    let two = fixture.error(&[&arguments[..], &[URL]].concat());
    assert!(two.contains("sign-host applies to one target"), "{two}");
}
