//! The two files that make a stock MariaDB or MySQL enforce IAM, and the SQL of its accounts.

use std::net::{Ipv6Addr, TcpListener};
use std::path::Path;

use countersign_authority::servers::MasterUser;
use countersign_core::name::{Engine, InstanceId};

use zeroize::Zeroizing;

use super::DATABASE;
use crate::Installation;
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::tls::ServerFiles;

/// The name that AWS gives the plugin.
pub(super) const PLUGIN: &str = "AWSAuthenticationPlugin";

/// The names of the files.
pub(super) const SETTINGS: &str = "my.cnf";
pub(super) const START: &str = "start.sql";

/// What the settings are made of. No value needs escaping: [`crate::Layout`] refuses paths that would.
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
    /// The settings.
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
             # Its own: a MariaDB that starts takes away the temporary tables of any other in the same directory.\n\
             tmpdir = {run}\n\
             plugin-dir = {plugins}\n\
             init-file = {etc}/{START}\n\
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
            let own = format!(
                "lc-messages-dir = {}\nplugin-load-add = auth_socket.so\nmysqlx = OFF\nsecure-file-priv = NULL\n\
                 disable-log-bin\nauto-generate-certs = OFF\n",
                messages.display()
            );
            text.push_str(&own);
        }
        text
    }
}

/// What the server runs at each start, before it takes logins: its administrators, who come over the Unix socket and are known
/// by their system user.
pub(super) fn start(engine: Engine, administrators: &[String]) -> String {
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

/// What an administrator makes in a server that runs, where it is not there yet: the role that RDS's master user has, and the
/// database of the IAM users, which RDS has not. (What MariaDB runs at its start is run by nobody, who would own the role.)
pub(super) fn fixtures(engine: Engine, maker: CreatedBy) -> String {
    // A role of MariaDB has no host.
    let role =
        if engine == Engine::Mariadb { "rds_superuser_role" } else { "'rds_superuser_role'@'%'" };
    let database = match maker {
        CreatedBy::CommandLine => format!("CREATE DATABASE IF NOT EXISTS {DATABASE};\n"),
        CreatedBy::Api => String::new(),
    };
    format!("CREATE ROLE IF NOT EXISTS {role};\n{}{database}", privileges(engine, role))
}

/// What the master user of RDS may do: neither `SUPER` nor `FILE` nor `SHUTDOWN`.
fn privileges(engine: Engine, grantee: &str) -> String {
    let grants = match engine {
        Engine::Mariadb => include_str!("mariadb-privileges.sql"),
        _ => include_str!("mysql-privileges.sql"),
    };
    grants.replace("{grantee}", grantee)
}

/// The master user of RDS, and a database. Their names have nothing that needs escaping.
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

/// Has a server that runs read its certificate anew.
pub(super) const fn reload_tls(engine: Engine) -> &'static str {
    match engine {
        Engine::Mariadb => "FLUSH SSL;",
        _ => "ALTER INSTANCE RELOAD TLS;",
    }
}

/// An account that logs in with IAM and only over TLS: the statements of AWS's guide.
pub(super) fn login(name: &str) -> String {
    format!(
        "CREATE USER IF NOT EXISTS {name}@'%' IDENTIFIED WITH {PLUGIN} AS 'RDS';\n\
         ALTER USER {name}@'%' IDENTIFIED WITH {PLUGIN} AS 'RDS';\n\
         ALTER USER {name}@'%' REQUIRE SSL;\n\
         GRANT ALL PRIVILEGES ON {DATABASE}.* TO {name}@'%';\n"
    )
}

/// A text as SQL has it, in the modes that don't take the backslash for a letter.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests;
