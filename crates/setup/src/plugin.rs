//! Installs and removes `AWSAuthenticationPlugin` on a running MariaDB or MySQL server.
//!
//! An installation consists of the library in the server's plugin directory, an option file with
//! the plugin's settings, and a row in `mysql.plugin`, from which the server loads the plugin at
//! each start. The option file has no `plugin-load-add` in addition to that row: the server would
//! log an error at each start. The settings have the prefix `loose-`: a server that does not load
//! the plugin starts anyway, and rejects logins to its accounts.
//!
//! `INSTALL PLUGIN` writes the row and loads the plugin at once. MariaDB reads its option files
//! then and needs no restart. MySQL (9.7, according to its system calls) uses the options that it
//! read at its own start: only the row is written, and a restart loads the plugin with its
//! settings.

mod options;
mod server;

use std::path::Path;
use std::time::Duration;

use countersign_core::name::Engine;

pub use options::{InstallOptions, default_file};
pub use server::{Account, Server};

use crate::plan::{Action, Content, Plan, Step};
use crate::{SetupError, Statement, WaitCondition, file};

/// The plugin's name on RDS.
const PLUGIN: &str = "AWSAuthenticationPlugin";

/// File name of the library in the server's plugin directory.
const LIBRARY: &str = "mysql_countersign.so";

const INSTALL: &str = "INSTALL PLUGIN AWSAuthenticationPlugin SONAME 'mysql_countersign.so';";

const UNINSTALL: &str = "UNINSTALL PLUGIN AWSAuthenticationPlugin;";

/// A running login holds the plugin: `UNINSTALL PLUGIN` then succeeds with a warning, and the
/// plugin remains as `DELETED` until the login ends. Until then `INSTALL PLUGIN` fails (MariaDB:
/// 1968, MySQL: 1125), and a removed plugin would be neither loaded nor in `mysql.plugin`. New
/// logins do not hold it, and the servers end a silent login after their `connect_timeout`, by
/// default 10 s. A plugin that is `ACTIVE` or `DISABLED` stays; `INSTALL PLUGIN` reports that at
/// once.
const LOGINS_ENDED: WaitCondition = WaitCondition {
    query: "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS \
            WHERE PLUGIN_NAME = 'AWSAuthenticationPlugin' \
            AND PLUGIN_STATUS NOT IN ('ACTIVE', 'DISABLED');",
    timeout: Duration::from_secs(30),
    remedy: "a login with AWSAuthenticationPlugin is still running and holds the removed plugin \
             until it ends, at the latest after the server's connect_timeout; run this command \
             again then",
};

/// Inserts the row from which the server loads the plugin at its start. Like `INSTALL PLUGIN`,
/// neither this nor [`DEREGISTER`] is written to the binary log: a replica without the library
/// would get the row too.
const REGISTER: &str = "SET SESSION sql_log_bin = 0; INSERT INTO mysql.plugin (name, dl) \
     VALUES ('AWSAuthenticationPlugin', 'mysql_countersign.so');";

/// Deletes the row. While the plugin is not loaded, `INSTALL PLUGIN` fails because of the row, and
/// `UNINSTALL PLUGIN` does not find it.
const DEREGISTER: &str =
    "SET SESSION sql_log_bin = 0; DELETE FROM mysql.plugin WHERE name = 'AWSAuthenticationPlugin';";

/// Plans the installation of the plugin with these options.
///
/// # Errors
/// [`SetupError::Unusable`] for a file of other origin, a value that an option file cannot hold,
/// and a plugin that the server loads by an option; [`SetupError::File`].
pub fn install(server: &Server, options: &InstallOptions) -> Result<Plan, SetupError> {
    check_not_loaded_by_option(server)?;
    let variables = options::variables(options)?;
    check_origin(&options.config_file)?;
    let library = Action::writing(
        server.plugin_directory.join(LIBRARY),
        0o755,
        Content::CopyOf(options.library.clone()),
    )?;
    let text = options::text(&variables);
    let config = Action::writing(options.config_file.clone(), 0o644, Content::Content(text))?;

    let is_set = variables
        .iter()
        .all(|(name, value)| server.variables.get(name).map_or("", String::as_str) == value);
    if server.engine == Engine::Mysql && !(server.loaded && is_set) {
        let now = if server.has_row { "the row exists" } else { "the row is missing" };
        let register = statement(REGISTER, Some(DEREGISTER), None, server.has_row, now);
        return Ok(Plan { steps: vec![library, config, register], restart: true });
    }
    // A loaded plugin has read its settings and its library: a change of either requires reloading.
    // It is unloaded before its files change, so that after an aborted run the next plan does not
    // take it for done.
    let keep = server.loaded && library.done && is_set;
    let mut steps = Vec::new();
    if server.loaded && !keep {
        let now = if is_set { "another version is loaded" } else { "loaded with other settings" };
        steps.push(statement(UNINSTALL, Some(INSTALL), None, false, now));
    } else if server.has_row && !server.loaded {
        steps.push(deregister());
    }
    steps.extend([library, config]);
    let remedy = format!(
        "if the server's error log reports a missing setting, the server does not read {}: set \
         --config-file to an option file that it reads",
        options.config_file.display()
    );
    let now = if keep { "loaded" } else { "not loaded" };
    steps.push(statement(INSTALL, Some(UNINSTALL), Some(remedy), keep, now));
    let remedy = format!(
        "another option file or the command line overrides {}: remove it there",
        options.config_file.display()
    );
    let now = if keep { "as expected" } else { "known after loading" };
    steps.push(Step {
        action: Action::Check { variables, remedy },
        done: keep,
        now: now.to_owned(),
    });
    Ok(Plan { steps, restart: false })
}

/// Plans the removal of the plugin.
///
/// # Errors
/// [`SetupError::Unusable`] while accounts use the plugin, and the errors of [`install`].
pub fn remove(server: &Server, config_file: &Path) -> Result<Plan, SetupError> {
    check_not_loaded_by_option(server)?;
    check_origin(config_file)?;
    if !server.accounts.is_empty() {
        let accounts: Vec<String> = server.accounts.iter().map(ToString::to_string).collect();
        return Err(SetupError::Unusable(format!(
            "cannot remove {PLUGIN}: the accounts {} use it; DROP USER them, or ALTER USER … \
             IDENTIFIED with another plugin, first: they cannot log in without it",
            accounts.join(", ")
        )));
    }
    let unload = match (server.loaded, server.has_row) {
        (true, _) => statement(UNINSTALL, Some(INSTALL), None, false, "loaded"),
        (false, true) => deregister(),
        (false, false) => statement(UNINSTALL, Some(INSTALL), None, true, "not loaded"),
    };
    let config = Action::deleting(config_file)?;
    let library = Action::deleting(&server.plugin_directory.join(LIBRARY))?;
    Ok(Plan { steps: vec![unload, config, library], restart: false })
}

/// Deletes the row of a plugin that is not loaded.
fn deregister() -> Step {
    statement(
        DEREGISTER,
        Some(REGISTER),
        None,
        false,
        "the row exists, but the plugin is not loaded",
    )
}

fn statement(
    statement: &str,
    undo: Option<&str>,
    remedy: Option<String>,
    done: bool,
    now: &str,
) -> Step {
    let action =
        Action::Sql { statement: to_statement(statement), undo: undo.map(to_statement), remedy };
    Step { action, done, now: now.to_owned() }
}

/// Returns the statement. If it loads the plugin, it waits for [`LOGINS_ENDED`].
fn to_statement(statement: &str) -> Statement {
    Statement { after: (statement == INSTALL).then_some(LOGINS_ENDED), ..statement.into() }
}

/// Rejects a server that loads the plugin by `plugin-load` or `plugin-load-add`: it would do so
/// again at its next start.
fn check_not_loaded_by_option(server: &Server) -> Result<(), SetupError> {
    if !server.loaded || server.has_row {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "cannot manage {PLUGIN}: an option of the server (plugin-load or plugin-load-add) loads \
         it; remove the option from the server's option files or command line, restart the \
         server, and run this command again"
    )))
}

fn check_origin(config_file: &Path) -> Result<(), SetupError> {
    let found = file::read(config_file)?;
    if found.is_none_or(|found| found.content.starts_with(options::MARK.as_bytes())) {
        return Ok(());
    }
    Err(SetupError::Unusable(format!(
        "cannot replace {}: it was not written by `countersign setup plugin`; set --config-file to \
         another file",
        config_file.display()
    )))
}

/// Returns the steps that an administrator must do in addition to a plan of [`install`].
#[must_use]
pub fn next_steps(server: &Server, options: &InstallOptions, plan: &Plan) -> Vec<String> {
    let InstallOptions { instance, verifier_socket, .. } = options;
    let (engine, port) = (server.engine, server.port);
    let user = server.runs_as.as_deref().unwrap_or("USER");
    let restart = "restart the server, which reads the plugin's settings only at its start, and \
                   run this command again: it reports if the plugin is loaded with them (if not, \
                   see the server's error log; another option file or the command line may set \
                   others)";
    let mut lines: Vec<String> = plan.restart.then(|| restart.to_owned()).into_iter().collect();
    let owner = server::owner(verifier_socket)
        .filter(|owner| owner != "root" && owner != user && options.verifier_user.is_none());
    lines.extend(owner.map(|owner| {
        format!(
            "the verifier's socket belongs to {owner}, whom the plugin does not trust: if the \
             verifier runs as {owner}, add --verifier-user {owner}"
        )
    }));
    lines.extend([
        format!(
            "register the server with the verifier: countersign local instance add {instance} \
             --engine {engine} --hostname HOST --port {port} (HOST as in the clients' tokens)"
        ),
        format!(
            "the server runs as the user {user}, who needs w on {} and x on the directories above \
             it; allow its requests: countersign local up --allow-user {user}",
            verifier_socket.display()
        ),
        format!(
            "create an account in the server: CREATE USER jane IDENTIFIED WITH {PLUGIN} AS 'RDS' \
             REQUIRE SSL;"
        ),
    ]);
    lines
}

#[cfg(test)]
mod tests;
