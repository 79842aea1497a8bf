use std::path::Path;

use countersign_authority::servers::{MasterUser, NewServer, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::Engine;

use super::check;
use crate::Layout;

fn order(name: &str, password: &str, database: &str) -> NewServer {
    NewServer {
        instance: "orders".parse().unwrap(),
        resource_id: "db-ORDERS".parse().unwrap(),
        engine: Engine::Postgres,
        version: None,
        port: None,
        database: Some(database.to_owned()),
        master: Some(MasterUser {
            name: name.to_owned(),
            password: Secret::new(password).unwrap(),
        }),
        replica_of: None,
    }
}

fn checked(new: &NewServer) -> Result<(), ServersError> {
    check(&Layout::new(Path::new("/var/lib/countersign")).unwrap(), new)
}

#[test]
fn names_that_stand_in_sql_are_plain() {
    checked(&order("postgres", "correct-horse'\\battery$", "orders_2")).unwrap();
    for name in [
        "",
        "1st",
        "a b",
        "o'hara",
        "x\"",
        "naïve",
        "rdsadmin",
        "RDS_IAM",
        "pg_monitor",
        &"x".repeat(64),
    ] {
        assert!(
            matches!(checked(&order(name, "password", "orders")), Err(ServersError::Invalid(_))),
            "user {name}"
        );
        assert!(
            matches!(checked(&order("postgres", "password", name)), Err(ServersError::Invalid(_))),
            "database {name}"
        );
    }
}

#[test]
fn passwords_are_what_rds_takes_and_stand_in_no_error() {
    for password in ["sla/sh", "quo\"te", "a@t", "spa ce", "tab\t", "línea", &"x".repeat(129)] {
        let refused = checked(&order("postgres", password, "orders")).unwrap_err();
        assert!(
            matches!(&refused, ServersError::Invalid(text) if !text.contains(password)),
            "{refused}"
        );
    }
}

#[test]
fn a_name_whose_socket_would_not_fit_is_refused() {
    let new = NewServer {
        instance: "x".repeat(63).parse().unwrap(),
        ..order("postgres", "password", "orders")
    };
    checked(&new).unwrap_err();
    let new = NewServer {
        instance: "x".repeat(57).parse().unwrap(),
        ..order("postgres", "password", "orders")
    };
    checked(&new).unwrap();
}
