//! Validates requests of the RDS API.
//!
//! Names are restricted to plain characters: they stand in SQL and in the servers' configuration.

use countersign_authority::servers::{MasterUser, NewServer, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::Engine;

use crate::Layout;

/// Maximum length of the name of a database or user in bytes, as in RDS; for a MySQL user, as in
/// the server.
const fn longest(engine: Engine) -> usize {
    match engine {
        Engine::Postgres => 63,
        Engine::Mariadb | Engine::Mysql => 32,
    }
}

/// Maximum length of a password. RDS accepts 8 to 128 characters for PostgreSQL, 41 for MySQL and
/// MariaDB; only the upper bound is enforced here.
const LONGEST_PASSWORD: usize = 128;

/// Names that the server or RDS reserves.
const RESERVED: [&str; 8] = [
    "rdsadmin",
    "rds_superuser",
    "rds_superuser_role",
    "rds_iam",
    "rds_password",
    "rds_replication",
    "mysql",
    "public",
];

/// Refuses a server that cannot be created.
pub(super) fn check(layout: &Layout, new: &NewServer) -> Result<(), ServersError> {
    if !layout.has_room_for(&new.instance) {
        let root = layout.root().display();
        return Err(ServersError::Invalid(format!(
            "cannot create {}: its name is too long for a Unix socket below {root}; use a shorter \
             name, or a shorter --dir",
            new.instance
        )));
    }
    match (&new.replica_of, &new.master, &new.database) {
        (Some(_), None, None) if new.engine == Engine::Postgres => return Ok(()),
        (Some(_), None, None) => {
            return Err(ServersError::Invalid(format!(
                "cannot create a read replica of {}: not supported",
                new.engine.product()
            )));
        }
        (Some(_), ..) => {
            return Err(ServersError::Invalid(
                "cannot set a master user or database of a read replica: it has those of its \
                 source"
                    .to_owned(),
            ));
        }
        (None, ..) => {}
    }
    let master = new.master.as_ref().ok_or_else(|| {
        ServersError::Invalid("cannot create a server without a master user".to_owned())
    })?;
    check_master(new.engine, master)?;
    new.database.as_deref().map_or(Ok(()), |name| check_name("database", new.engine, name))
}

fn check_master(engine: Engine, master: &MasterUser) -> Result<(), ServersError> {
    check_name("master user", engine, &master.name)?;
    check_password(&master.password)
}

fn check_name(what: &str, engine: Engine, name: &str) -> Result<(), ServersError> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let lower = name.to_ascii_lowercase();
    if !starts || !word || name.len() > longest(engine) {
        let longest = longest(engine);
        return Err(ServersError::Invalid(format!(
            "the name of the {what} is not valid: use a letter and up to {longest} letters, \
             digits or _"
        )));
    }
    if RESERVED.contains(&&*lower) || lower.starts_with("pg_") {
        return Err(ServersError::Invalid(format!(
            "cannot use {name} as the name of the {what}: the engine reserves it"
        )));
    }
    Ok(())
}

/// Refuses a password with characters that RDS refuses. The API checks its minimum length.
pub(super) fn check_password(password: &Secret) -> Result<(), ServersError> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"/\"@".contains(&byte);
    if password.expose().len() <= LONGEST_PASSWORD && password.expose().bytes().all(fits) {
        return Ok(());
    }
    Err(ServersError::Invalid(format!(
        "the master password is not valid: use up to {LONGEST_PASSWORD} characters of printable \
         ASCII without /, \", @ and space"
    )))
}

#[cfg(test)]
mod tests;
