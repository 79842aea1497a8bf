use std::time::Duration;

use countersign_proxy::settings::{ClientAuth, ServerAuth, TargetSessionAttrs};

use super::{Case, is_password, listens};

const URL: &str = "postgres://app@mydb.abc.eu-west-1.rds.amazonaws.com/orders";

#[test]
fn flags_go_before_the_file_and_urls_before_flags() {
    let file = "[proxy]\nprofile = \"file\"\nregion = \"eu-west-1\"\nmax-connections = 5\nlogin-timeout = \"1m\"\n\
        [targets.orders]\nurl = \"postgres://app@db.example.com\"\nprofile = \"own\"\n";
    let case = Case::with(file);
    let profile = |arguments: &[&str]| match case.target(arguments).server_auth {
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
    let plan = case.plan(&["--max-connections", "7"]).unwrap();
    assert_eq!(
        (plan.settings.max_connections, plan.settings.login_timeout),
        (7, Duration::from_secs(60))
    );
    assert_eq!(case.target(&[]).region.unwrap().as_str(), "eu-west-1");
}

#[test]
fn flags_switch_off_what_the_file_switches_on() {
    let case = Case::with(&format!("[proxy]\nhealth-check = true\n[targets.a]\nurl = \"{URL}\"\n"));
    assert!(
        case.plan(&[]).unwrap().operation.http.is_some_and(|http| http.health && !http.metrics)
    );
    assert!(case.plan(&["--health-check=false"]).unwrap().operation.http.is_none());
    let admin =
        case.plan(&["--quitquitquit", "--admin-port", "9999"]).unwrap().operation.admin.unwrap();
    assert_eq!(
        (admin.address.to_string().as_str(), admin.quit, admin.debug),
        ("127.0.0.1:9999", true, false)
    );
}

#[test]
fn ports_are_counted_up_over_those_in_use() {
    let case = Case::default();
    let ports = |arguments: &[&str]| -> Vec<String> {
        case.plan(arguments).unwrap().settings.targets.iter().flat_map(listens).collect()
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
fn a_target_keeps_its_port_when_the_file_changes() {
    let table = |name: &str| format!("[targets.{name}]\nurl = \"{URL}\"\n");
    let case = Case::with(&(table("a") + &table("b")));
    let before = case.plan(&[]).unwrap();
    let case = case.file("countersign.toml", &(table("new") + &table("b")));
    let after = case.after(&[], Some(&before)).unwrap();
    let listens: Vec<_> = after
        .settings
        .targets
        .iter()
        .map(|target| (target.name.as_str(), listens(target)))
        .collect();
    assert_eq!(
        listens,
        [("new", vec!["127.0.0.1:5432".to_owned()]), ("b", vec!["127.0.0.1:5433".to_owned()])]
    );
}

#[test]
fn other_machines_need_a_password_or_a_word() {
    let case = Case::default().variable("PW", "hunter2");
    let said = case.refused(&["--address", "0.0.0.0", URL]);
    assert!(said.starts_with("target 1: ") && said.contains("open-to-network"), "{said}");
    assert_eq!(
        case.target(&["--address", "0.0.0.0", "--open-to-network", URL]).client_auth,
        ClientAuth::TrustNetwork
    );
    let target = case.target(&["--address", "0.0.0.0", &format!("{URL}?client-password-env=PW")]);
    assert!(is_password(&target.client_auth, "hunter2"));
}

#[test]
fn a_target_says_all_there_is() {
    let file = r#"
[targets.orders]
engine = "mysql"
host = "127.0.0.1"
port = 13306
user = "app"
database = "orders"
sign-host = "mydb.abc.eu-west-1.rds.amazonaws.com"
roles = ["arn:aws:iam::111122223333:role/hub", { arn = "arn:aws:iam::444455556666:role/db", external-id = "id", session-name = "me" }]
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
    let case = Case::with(file).file("password", "hunter2\n");
    let target = case.target(&[]);
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
        listens(&target),
        ["127.0.0.2:3307", &case.root().join("run/orders").display().to_string(), "orders"]
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
    assert_eq!(case.target(&["--lazy-refresh"]).pool.min_idle, 0);
}

#[test]
fn flags_are_for_every_target() {
    let arguments = [
        "--assume-role",
        "arn:aws:iam::111122223333:role/a",
        "--assume-role",
        "arn:aws:iam::111122223333:role/b",
    ];
    let arguments =
        [&arguments[..], &["--external-id", "id", "--sign-host", "db.example.com:5555", URL]]
            .concat();
    let case = Case::default();
    let target = case.target(&arguments);
    let ServerAuth::Iam(settings) = &target.server_auth else { panic!("{target:?}") };
    let ids: Vec<_> = settings.roles.iter().map(|role| role.external_id.as_deref()).collect();
    assert_eq!((ids, target.sign.map(|(_, port)| port)), (vec![None, Some("id")], Some(5555)));
    let two = case.refused(&[&arguments[..], &[URL]].concat());
    assert!(two.contains("sign-host is about one target"), "{two}");
}
