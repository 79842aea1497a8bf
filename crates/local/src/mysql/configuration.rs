//! Configuration files that make a stock MariaDB or MySQL enforce IAM, and the SQL of its accounts.

use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use countersign_authority::servers::MasterUser;
use countersign_core::name::{Engine, InstanceId};
use zeroize::Zeroizing;

use crate::Installation;
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::tls::ServerFiles;

/// Database that a new server has, in which IAM users have all privileges.
pub(crate) const DATABASE: &str = "app";

/// AWS's name of the plugin.
pub(super) const PLUGIN: &str = "AWSAuthenticationPlugin";

/// Names of the files.
pub(super) const SETTINGS: &str = "my.cnf";
pub(super) const INIT: &str = "init.sql";

/// Values of `my.cnf`. None needs escaping: [`crate::Layout`] refuses such paths.
pub(super) struct Settings<'a> {
    pub(super) installation: &'a Installation,
    pub(super) instance: &'a InstanceId,
    pub(super) home: &'a ServerDir,
    pub(super) socket: &'a Path,
    pub(super) port: u16,
    pub(super) tls: &'a ServerFiles,
    pub(super) ca: &'a Path,
    pub(super) verifier: &'a Path,
}

impl Settings<'_> {
    /// Returns `my.cnf`.
    pub(super) fn text(&self) -> String {
        let addresses = if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            "127.0.0.1,::1"
        } else {
            "127.0.0.1"
        };
        let (data, run, etc, plugins) =
            (self.home.data(), self.home.run(), self.home.etc(), self.home.plugins());
        let root = self.installation.root.join("usr");
        let mut text = format!(
            "# Written by `countersign local up` at each start.\n\
             [mysqld]\n\
             basedir = {root}\n\
             datadir = {data}\n\
             # A directory of its own: a MariaDB that starts deletes the temporary tables in it.\n\
             tmpdir = {run}\n\
             plugin-dir = {plugins}\n\
             init-file = {etc}/{INIT}\n\
             pid-file = {run}/mysqld.pid\n\
             socket = {socket}\n\
             port = {port}\n\
             bind-address = {addresses}\n\
             skip-name-resolve\n\
             ssl-ca = {ca}\n\
             ssl-cert = {certificate}\n\
             ssl-key = {key}\n\
             tls-version = TLSv1.2,TLSv1.3\n\
             character-set-server = utf8mb4\n\
             innodb-use-native-aio = OFF\n\
             plugin-load-add = mysql_countersign.so\n\
             # The server does not start without the plugin.\n\
             awsauthenticationplugin = FORCE_PLUS_PERMANENT\n\
             awsauthenticationplugin-socket = {verifier}\n\
             awsauthenticationplugin-instance = {instance}\n",
            root = root.display(),
            data = data.display(),
            run = run.display(),
            etc = etc.display(),
            plugins = plugins.display(),
            socket = self.socket.display(),
            port = self.port,
            ca = self.ca.display(),
            certificate = self.tls.certificate.display(),
            key = self.tls.key.display(),
            verifier = self.verifier.display(),
            instance = self.instance,
        );
        if self.installation.engine == Engine::Mysql {
            let messages = root.join("share/mysql");
            let mysql_only = format!(
                "lc-messages-dir = {}\nplugin-load-add = auth_socket.so\nmysqlx = \
                 OFF\nsecure-file-priv = NULL\n\
                 disable-log-bin\nauto-generate-certs = OFF\n",
                messages.display()
            );
            text.push_str(&mysql_only);
        }
        text
    }
}

/// Returns the init file, which the server runs at each start before it accepts logins.
///
/// It creates the administrators, who connect over the Unix socket and are identified by their
/// system user.
pub(super) fn init_file(engine: Engine, administrators: &[String]) -> String {
    let plugin = if engine == Engine::Mariadb { "VIA unix_socket" } else { "WITH auth_socket" };
    let account = |name: &String| {
        let account = format!("{}@'localhost'", literal(name));
        format!(
            "CREATE USER IF NOT EXISTS {account} IDENTIFIED {plugin};\n\
             ALTER USER {account} IDENTIFIED {plugin};\n\
             GRANT ALL PRIVILEGES ON *.* TO {account} WITH GRANT OPTION;\n"
        )
    };
    administrators.iter().map(account).collect()
}

/// Returns SQL for a running server: the role of RDS's master user, and the database of IAM users.
///
/// RDS has no such database. The SQL is not part of the init file, because MariaDB runs that
/// without a user, who would own the role.
pub(super) fn fixtures(engine: Engine, created_by: CreatedBy) -> String {
    // A role of MariaDB has no host.
    let role =
        if engine == Engine::Mariadb { "rds_superuser_role" } else { "'rds_superuser_role'@'%'" };
    let database = match created_by {
        CreatedBy::CommandLine => format!("CREATE DATABASE IF NOT EXISTS {DATABASE};\n"),
        CreatedBy::Api => String::new(),
    };
    format!("CREATE ROLE IF NOT EXISTS {role};\n{}{database}", privileges(engine, role))
}

/// Returns grants of the privileges of RDS's master user, without `SUPER`, `FILE` and `SHUTDOWN`.
fn privileges(engine: Engine, grantee: &str) -> String {
    let grants = match engine {
        Engine::Mariadb => include_str!("mariadb-privileges.sql"),
        _ => include_str!("mysql-privileges.sql"),
    };
    grants.replace("{grantee}", grantee)
}

/// Returns SQL that creates the RDS master user and a database. The names need no escaping.
pub(super) fn master(
    engine: Engine,
    master: &MasterUser,
    database: Option<&str>,
) -> Zeroizing<String> {
    let account = format!("{}@'%'", literal(&master.name));
    let password = Zeroizing::new(literal(master.password.expose()));
    let database = database.map(|name| format!("CREATE DATABASE `{name}`;\n")).unwrap_or_default();
    let grants = privileges(engine, &account);
    Zeroizing::new(format!(
        "CREATE USER {account} IDENTIFIED BY {};\n{grants}{database}",
        *password
    ))
}

/// Returns the statement that reloads the certificate.
pub(super) const fn reload_tls(engine: Engine) -> &'static str {
    match engine {
        Engine::Mariadb => "FLUSH SSL;",
        _ => "ALTER INSTANCE RELOAD TLS;",
    }
}

/// Returns SQL for an account that logs in with IAM and only over TLS, as in AWS's guide.
pub(super) fn login(name: &str) -> String {
    format!(
        "CREATE USER IF NOT EXISTS {name}@'%' IDENTIFIED WITH {PLUGIN} AS 'RDS';\n\
         ALTER USER {name}@'%' IDENTIFIED WITH {PLUGIN} AS 'RDS';\n\
         ALTER USER {name}@'%' REQUIRE SSL;\n\
         GRANT ALL PRIVILEGES ON {DATABASE}.* TO {name}@'%';\n"
    )
}

/// Quotes a text as an SQL literal for modes in which the backslash escapes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
