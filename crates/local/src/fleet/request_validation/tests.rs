use std::path::Path;

use countersign_authority::servers::{MasterUser, NewServer, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::Engine;

use super::check;
use crate::Layout;

fn request(name: &str, password: &str, database: &str) -> NewServer {
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
fn names_are_restricted_to_plain_characters() {
    checked(&request("postgres", "correct-horse'\\battery$", "orders_2")).unwrap();
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
            matches!(checked(&request(name, "password", "orders")), Err(ServersError::Invalid(_))),
            "user {name}"
        );
        assert!(
            matches!(
                checked(&request("postgres", "password", name)),
                Err(ServersError::Invalid(_))
            ),
            "database {name}"
        );
    }
}

#[test]
fn passwords_follow_rds_rules_and_never_reach_errors() {
    for password in ["sla/sh", "quo\"te", "a@t", "spa ce", "tab\t", "línea", &"x".repeat(129)] {
        let refused = checked(&request("postgres", password, "orders")).unwrap_err();
        assert!(
            matches!(&refused, ServersError::Invalid(text) if !text.contains(password)),
            "{refused}"
        );
    }
}

#[test]
fn names_with_too_long_socket_paths_are_refused() {
    let new = NewServer {
        instance: "x".repeat(63).parse().unwrap(),
        ..request("postgres", "password", "orders")
    };
    checked(&new).unwrap_err();
    let new = NewServer {
        instance: "x".repeat(57).parse().unwrap(),
        ..request("postgres", "password", "orders")
    };
    checked(&new).unwrap();
}
