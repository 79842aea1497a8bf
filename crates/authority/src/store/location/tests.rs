use super::{Location, TlsMode};

fn read(text: &str) -> Result<Location, String> {
    text.parse().map_err(|error: countersign_core::name::InvalidName| error.to_string())
}

#[test]
fn urls_set_host_database_and_tls() {
    let Ok(Location::Postgres(at)) =
        read("postgres://auth@db.example/state?sslrootcert=/etc/ca.pem")
    else {
        panic!("a URL")
    };
    assert_eq!(at.to_string(), "postgres://auth@db.example:5432/state");
    assert_eq!(
        (at.tls, at.root_certificates.as_deref()),
        (TlsMode::VerifyFull, Some("/etc/ca.pem".as_ref()))
    );
    let Ok(Location::Postgres(at)) = read("postgres://auth@localhost/state?host=/run/postgresql")
    else {
        panic!("a socket")
    };
    assert_eq!((at.tls, at.host.as_str()), (TlsMode::Disable, "/run/postgresql"));
    assert!(matches!(read("/var/lib/countersign"), Ok(Location::Directory(_))));
}

#[test]
fn invalid_locations_are_rejected_and_a_password_is_not_repeated() {
    for (text, why) in [
        ("", "is empty"),
        ("mysql://a@b/c", "neither a directory nor"),
        ("postgres://host/db", "does not name a user"),
        ("postgres://u@host", "does not name a host and a database"),
        ("postgres://u@host/db?sslmode=prefer", "neither verify-full nor disable"),
        ("postgres://u@host/db?fish=1", "fish"),
        ("postgres://u:hunter2@host/db", "PGPASSWORD"),
    ] {
        let refused = read(text).unwrap_err();
        assert!(refused.contains(why) && !refused.contains("hunter2"), "{text}: {refused}");
    }
}
