use super::Target;

fn refused(url: &str) -> String {
    Target::parse(url).unwrap_err().detail
}

#[test]
fn a_whole_url() {
    let target = Target::parse("postgres://Jane%2BX%40corp@MyDb.example.com:6432/my%20db?sslmode=require&options=-c%20a%3Db").unwrap();
    assert_eq!((target.user.as_str(), target.host.as_str(), target.port), ("Jane+X@corp", "MyDb.example.com", 6432));
    assert_eq!(target.database.as_deref(), Some("my db"));
    assert_eq!(target.settings, [("PGSSLMODE", "require".to_owned()), ("PGOPTIONS", "-c a=b".to_owned())]);
}

#[test]
fn what_is_left_out_has_its_default() {
    let target = Target::parse("postgresql://jane@[::1]").unwrap();
    assert_eq!((target.host.as_str(), target.port, target.database), ("::1", 5432, None));
}

#[test]
fn what_does_not_do_is_said_without_repeating_a_password() {
    let password = refused("postgres://jane:hunter2@db/x");
    assert!(password.contains("holds a password") && !password.contains("hunter2"));
    assert!(!refused("postgres://jane:hunter2@db:port/x").contains("hunter2"));
    assert!(refused("postgres://db/x").contains("no user"));
    assert!(refused("postgres://jane@/x").contains("host"));
    assert!(refused("postgres://jane@db:0").contains("port is 0"));
    assert!(refused("postgres://jane@db?sslmode=verify-full&sslmode=disable").contains("twice"));
    assert!(refused("postgres://jane@db?sslmode=bogus").contains("verify-ca"));
    assert!(refused("http://jane@db").contains("scheme"));
    assert!(refused("jane@db:5432/x").contains("postgres://USER@HOST"));
    assert!(refused("jane@db").contains("postgres://USER@HOST"));
    assert!(refused("postgres://jane@db?ssl=true").contains("sslmode"));
    assert!(refused("postgres://%zz@db").contains("percent-escape"));
}
