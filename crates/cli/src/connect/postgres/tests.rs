use countersign_connect::database_url::DatabaseUrl;

use super::environment;

fn set(url: &str) -> Vec<String> {
    let environment = environment(&DatabaseUrl::parse(url).unwrap());
    environment
        .set
        .into_iter()
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect()
}

#[test]
fn what_libpq_is_told() {
    assert_eq!(
        set("postgres://jane@db.example.com"),
        [
            "PGHOST=db.example.com",
            "PGPORT=5432",
            "PGUSER=jane",
            "PGSSLMODE=verify-full",
            "PGGSSENCMODE=disable"
        ]
    );
    let all = set("postgres://jane@db/orders?sslmode=verify-ca&sslrootcert=/ca.pem");
    assert_eq!(
        all.get(5..).unwrap(),
        ["PGDATABASE=orders", "PGSSLMODE=verify-ca", "PGSSLROOTCERT=/ca.pem"]
    );
}

#[test]
fn what_leads_elsewhere_does_not_reach_libpq() {
    let environment = environment(&DatabaseUrl::parse("postgres://jane@db").unwrap());
    for name in ["PGHOSTADDR", "PGSERVICE", "PGPASSFILE", "PGSSLNEGOTIATION", "PGPASSWORD"] {
        assert!(environment.is_removed(name), "{name}");
    }
    for name in ["PGTZ", "PGSSLROOTCERT", "PSQLRC", "PAGER", "MYSQL_HOST"] {
        assert!(!environment.is_removed(name), "{name}");
    }
}
