//! `AWSAuthenticationPlugin` on a MariaDB or MySQL server that runs: put in, and taken out.
//!
//! Three things make it work: the library in the server's plugin directory, an option file with the plugin's settings, and a row
//! in `mysql.plugin`, by which the server loads the plugin at each start. There is no `plugin-load-add` in the option file beside
//! that row: a server that is told twice complains at each start. The settings carry the prefix `loose-`: a server that for
//! whatever reason does not load the plugin starts all the same, and lets nobody in to its accounts.
//!
//! `INSTALL PLUGIN` writes the row and loads the plugin at once. MariaDB reads its option files for that, so it needs no restart.
//! MySQL (9.7, by its system calls) goes by what it read at its own start: there the row is written alone, and a restart loads
//! the plugin with its settings.

mod options;
mod server;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use countersign_core::name::{Engine, InstanceId};

pub use options::default_file;
pub use server::{Account, Server};

use crate::plan::{Action, Content, Plan, Step};
use crate::{SetupError, Statement, WaitCondition, file};

/// The name that AWS gives the plugin.
const PLUGIN: &str = "AWSAuthenticationPlugin";

/// The library in the server's plugin directory.
const LIBRARY: &str = "mysql_countersign.so";

const INSTALL: &str = "INSTALL PLUGIN AWSAuthenticationPlugin SONAME 'mysql_countersign.so';";

const UNINSTALL: &str = "UNINSTALL PLUGIN AWSAuthenticationPlugin;";

/// A login that has begun holds the plugin: `UNINSTALL PLUGIN` then succeeds with a warning, and the plugin stays as `DELETED`
/// until the login ends. Until then `INSTALL PLUGIN` fails (MariaDB: 1968, MySQL: 1125), and a plugin that was taken out would be
/// neither loaded nor in `mysql.plugin`. No login holds it anew, and the servers end one that says nothing after their
/// `connect_timeout`, 10 s unless set. One that is `ACTIVE` or `DISABLED` stays: `INSTALL PLUGIN` says so at once.
const LOGINS: WaitCondition = WaitCondition {
    query: "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'AWSAuthenticationPlugin' \
            AND PLUGIN_STATUS NOT IN ('ACTIVE', 'DISABLED');",
    patience: Duration::from_secs(30),
    advice: "a login by AWSAuthenticationPlugin is still under way, and the plugin that was taken out stays in the server until it \
             ends, at the latest after the server's connect_timeout: run this command again then",
};

/// The row by which the server loads the plugin at its start. What a server loads is its own affair, so neither this nor
/// [`FORGET`] goes into the binary log, as `INSTALL PLUGIN` does not: a replica without the library would get the row too.
const REGISTER: &str = "SET SESSION sql_log_bin = 0; INSERT INTO mysql.plugin (name, dl) VALUES ('AWSAuthenticationPlugin', 'mysql_countersign.so');";

/// The row's end. While the plugin is not loaded, `INSTALL PLUGIN` stumbles over the row, and `UNINSTALL PLUGIN` does not see it.
const FORGET: &str =
    "SET SESSION sql_log_bin = 0; DELETE FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin';";

/// What the plugin is to be set up with.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The library to be copied.
    pub library: PathBuf,
    /// The option file to be written, which the server has to read.
    pub config_file: PathBuf,
    /// Where the verifier listens.
    pub verifier_socket: PathBuf,
    /// The name that the server asks under.
    pub instance: InstanceId,
    /// The system user whom to trust as the verifier, beside root and the server's own.
    pub verifier_user: Option<String>,
}

/// The steps to a server that has the plugin with these settings.
///
/// # Errors
/// [`OperateError::Unusable`] for a file that somebody else wrote, a value that an option file can't hold, and a plugin that the
/// server loads by an option of its own; [`OperateError::File`].
pub fn install(server: &Server, wanted: &Wanted) -> Result<Plan, SetupError> {
    refuse_loaded_by_option(server)?;
    let variables = options::variables(wanted)?;
    refuse_foreign(&wanted.config_file)?;
    let library = Action::writing(
        server.plugin_directory.join(LIBRARY),
        0o755,
        Content::CopyOf(wanted.library.clone()),
    )?;
    let text = options::text(&variables);
    let config = Action::writing(wanted.config_file.clone(), 0o644, Content::Content(text))?;

    let is_set = variables
        .iter()
        .all(|(name, value)| server.variables.get(name).map_or("", String::as_str) == value);
    if server.engine == Engine::Mysql && !(server.loaded && is_set) {
        let now = if server.has_row { "there is the row" } else { "there is no row" };
        let register = statement(REGISTER, Some(FORGET), None, server.has_row, now);
        return Ok(Plan { steps: vec![library, config, register], restart: true });
    }
    // What is loaded has read its settings and its library: others mean that it is loaded anew. It goes before its files
    // change, so that a run that ends half way leaves nothing loaded that the next one would take for done.
    let keep = server.loaded && library.done && is_set;
    let mut steps = Vec::new();
    if server.loaded && !keep {
        let now =
            if is_set { "another version is loaded" } else { "it is loaded with other settings" };
        steps.push(statement(UNINSTALL, Some(INSTALL), None, false, now));
    } else if server.has_row && !server.loaded {
        steps.push(forget());
    }
    steps.extend([library, config]);
    let advice = format!(
        "if the server's error log says that a setting is missing, the server does not read {}: name an option file that it reads with \
         --config-file",
        wanted.config_file.display()
    );
    let now = if keep { "it is loaded" } else { "it is not loaded" };
    steps.push(statement(INSTALL, Some(UNINSTALL), Some(advice), keep, now));
    let advice = format!(
        "another option file, or the command line, sets it after {}: take it out there",
        wanted.config_file.display()
    );
    let now = if keep { "it has" } else { "to be seen once it is loaded" };
    steps.push(Step {
        action: Action::Check { variables, advice },
        done: keep,
        now: now.to_owned(),
    });
    Ok(Plan { steps, restart: false })
}

/// The steps to a server without the plugin.
///
/// # Errors
/// [`OperateError::Unusable`] while accounts use it, and those of [`install`].
pub fn remove(server: &Server, config_file: &Path) -> Result<Plan, SetupError> {
    refuse_loaded_by_option(server)?;
    refuse_foreign(config_file)?;
    if !server.accounts.is_empty() {
        let accounts: Vec<String> = server.accounts.iter().map(ToString::to_string).collect();
        return Err(SetupError::Unusable(format!(
            "accounts log in by {PLUGIN}: {}. DROP USER them, or ALTER USER … IDENTIFIED with something else, first: without the plugin \
             nobody gets into them",
            accounts.join(", ")
        )));
    }
    let unload = match (server.loaded, server.has_row) {
        (true, _) => statement(UNINSTALL, Some(INSTALL), None, false, "it is loaded"),
        (false, true) => forget(),
        (false, false) => statement(UNINSTALL, Some(INSTALL), None, true, "it is not loaded"),
    };
    let config = Action::deleting(config_file)?;
    let library = Action::deleting(&server.plugin_directory.join(LIBRARY))?;
    Ok(Plan { steps: vec![unload, config, library], restart: false })
}

/// Takes the row of a plugin away that is not loaded.
fn forget() -> Step {
    statement(
        FORGET,
        Some(REGISTER),
        None,
        false,
        "the server has a row of the plugin, and has not loaded it",
    )
}

fn statement(
    statement: &str,
    undo: Option<&str>,
    advice: Option<String>,
    done: bool,
    now: &str,
) -> Step {
    let action = Action::Sql { statement: awaiting(statement), undo: undo.map(awaiting), advice };
    Step { action, done, now: now.to_owned() }
}

/// The statement, which waits for [`LOGINS`] to end where it loads the plugin.
fn awaiting(statement: &str) -> Statement {
    Statement { after: (statement == INSTALL).then_some(LOGINS), ..statement.into() }
}

/// A server that loads it by `plugin-load` or `plugin-load-add` would do so again at its next start, whatever is done here.
fn refuse_loaded_by_option(server: &Server) -> Result<(), SetupError> {
    if !server.loaded || server.has_row {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "an option of the server's own (plugin-load or plugin-load-add) loads {PLUGIN}: take it out of the server's option files or \
         command line, restart the server, and run this again"
    )))
}

fn refuse_foreign(config_file: &Path) -> Result<(), SetupError> {
    let found = file::read(config_file)?;
    if found.is_none_or(|found| found.content.starts_with(options::MARK.as_bytes())) {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "{} was not written by `countersign setup plugin`, and stays as it is: name another file with --config-file",
        config_file.display()
    )))
}

/// What an administrator has to do beside a plan of [`install`].
#[must_use]
pub fn afterwards(server: &Server, wanted: &Wanted, plan: &Plan) -> Vec<String> {
    let Wanted { instance, verifier_socket, .. } = wanted;
    let (engine, port) = (server.engine, server.port);
    let user = server.runs_as.as_deref().unwrap_or("USER");
    let restart = "restart the server, which reads the plugin's settings at its start alone, and run this once more: then it says whether \
                   the plugin is loaded with them (if it is not, the server's error log says why, or another option file, or the \
                   command line, sets others)";
    let mut lines: Vec<String> = plan.restart.then(|| restart.to_owned()).into_iter().collect();
    let owner = server::owner(verifier_socket)
        .filter(|owner| owner != "root" && owner != user && wanted.verifier_user.is_none());
    lines.extend(owner.map(|owner| {
        format!("the verifier's socket is {owner}'s, whom the plugin does not trust: if the verifier is to run as {owner}, add --verifier-user {owner}")
    }));
    lines.extend([
        format!(
            "the verifier has to know the server: countersign local instance add {instance} --engine {engine} --hostname HOST --port \
             {port} (HOST as clients name it)"
        ),
        format!(
            "the server runs as the user {user}, who needs w on {} and x on the directories above it, and has to be let ask: countersign \
             local up --allow-user {user}",
            verifier_socket.display()
        ),
        format!("an account, in the server: CREATE USER jane IDENTIFIED WITH {PLUGIN} AS 'RDS' REQUIRE SSL;"),
    ]);
    lines
}

/// The variables as the server shows them.
type Variables = BTreeMap<String, String>;

#[cfg(test)]
mod tests;
