//! What may be ordered through the RDS API. Names are plain: they stand in SQL, and in the configuration of servers.

use countersign_authority::servers::{MasterUser, NewServer, ServersError};
use countersign_core::credentials::Secret;
use countersign_core::name::Engine;

use crate::Layout;

/// The longest name of a database or user, in bytes: what RDS allows, and for a MySQL user what the server does.
const fn longest(engine: Engine) -> usize {
    match engine {
        Engine::Postgres => 63,
        Engine::Mariadb | Engine::Mysql => 32,
    }
}

/// RDS takes 8 to 128 characters for PostgreSQL; MySQL and MariaDB end at 41 there. Here it is a bound, not a rule.
const LONGEST_PASSWORD: usize = 128;

/// Names that the server or RDS itself has.
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

/// Refuses what can't be made.
pub(super) fn check(layout: &Layout, new: &NewServer) -> Result<(), ServersError> {
    if !layout.has_room_for(&new.instance) {
        let root = layout.root().display();
        return Err(ServersError::Invalid(format!(
            "the name {} is too long for a Unix socket below {root}: take a shorter one, or a shorter --dir",
            new.instance
        )));
    }
    match (&new.replica_of, &new.master, &new.database) {
        (Some(_), None, None) if new.engine == Engine::Postgres => return Ok(()),
        (Some(_), None, None) => {
            return Err(ServersError::Invalid(format!(
                "read replicas of {} are not supported",
                new.engine.product()
            )));
        }
        (Some(_), ..) => {
            return Err(ServersError::Invalid(
                "a read replica has the users and databases of its source".to_owned(),
            ));
        }
        (None, ..) => {}
    }
    let master = new
        .master
        .as_ref()
        .ok_or_else(|| ServersError::Invalid("a new server needs a master user".to_owned()))?;
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
            "the name of the {what} is not a letter and up to {longest} letters, digits or _"
        )));
    }
    if RESERVED.contains(&&*lower) || lower.starts_with("pg_") {
        return Err(ServersError::Invalid(format!(
            "{name} can't be the name of the {what}: the engine has it"
        )));
    }
    Ok(())
}

/// Refuses a password that RDS refuses by its characters; its shortest is the API's to say.
pub(super) fn check_password(password: &Secret) -> Result<(), ServersError> {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"/\"@".contains(&byte);
    if password.expose().len() <= LONGEST_PASSWORD && password.expose().bytes().all(fits) {
        return Ok(());
    }
    Err(ServersError::Invalid(format!(
        "the master password is not up to {LONGEST_PASSWORD} characters of printable ASCII without /, \", @ and space"
    )))
}

#[cfg(test)]
mod tests;
