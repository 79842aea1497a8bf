//! Kinds of servers and of their authentication, and the clients that log in to them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use countersign_core::name::Engine;

use crate::{countersign, run};

/// A server, and its authentication method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// PostgreSQL with PAM.
    Pam,
    /// PostgreSQL with LDAP.
    Ldap,
    /// MariaDB with the plugin.
    Mariadb,
    /// MySQL with the plugin.
    Mysql,
}

/// Returns the kinds that this machine can test: PAM needs root, and MySQL must be unpacked.
#[must_use]
pub fn ways() -> Vec<ServerKind> {
    [ServerKind::Pam, ServerKind::Ldap, ServerKind::Mariadb, ServerKind::Mysql]
        .into_iter()
        .filter(|kind| kind.is_here())
        .collect()
}

/// Returns those of one engine.
#[must_use]
pub fn ways_of(engines: &[Engine]) -> Vec<ServerKind> {
    ways().into_iter().filter(|kind| engines.contains(&kind.engine())).collect()
}

/// Returns one kind of PostgreSQL.
#[must_use]
pub fn postgres() -> Option<ServerKind> {
    ways_of(&[Engine::Postgres]).first().copied()
}

/// Returns one kind per protocol.
#[must_use]
pub fn protocols() -> Vec<ServerKind> {
    let of_mysql = ways_of(&[Engine::Mariadb, Engine::Mysql]).first().copied();
    [postgres(), of_mysql].into_iter().flatten().collect()
}

/// Returns Oracle's client, unpacked with its server.
#[must_use]
pub fn mysql_client() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let output = run(countersign().args(["local", "install", "--engine", "mysql"]));
        // `mysql 9.7  DIRECTORY`
        let root = output.ok.then(|| {
            output.out.split_whitespace().last().map(|root| Path::new(root).join("usr/bin/mysql"))
        });
        root.flatten().filter(|client| client.exists())
    };
    FOUND.get_or_init(find).clone()
}

impl ServerKind {
    /// Returns the engine.
    #[must_use]
    pub const fn engine(self) -> Engine {
        match self {
            Self::Pam | Self::Ldap => Engine::Postgres,
            Self::Mariadb => Engine::Mariadb,
            Self::Mysql => Engine::Mysql,
        }
    }

    fn is_here(self) -> bool {
        let (here, why) = match self {
            Self::Ldap | Self::Mariadb => (true, ""),
            Self::Pam => {
                (rustix::process::geteuid().is_root(), "PAM, since only root may write /etc/pam.d")
            }
            Self::Mysql => (mysql_client().is_some(), "MySQL, which can't be unpacked here"),
        };
        if !here {
            eprintln!("skipped: {why}");
        }
        here
    }

    /// Returns the arguments of `local up`.
    pub(crate) const fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Pam => &["--authentication", "pam"],
            Self::Ldap => &["--authentication", "ldap"],
            Self::Mariadb => &["--engine", "mariadb"],
            Self::Mysql => &["--engine", "mysql"],
        }
    }

    /// Returns the variables of host, port and CA.
    #[must_use]
    pub const fn variables(self) -> [&'static str; 3] {
        match self {
            Self::Pam | Self::Ldap => ["PGHOST", "PGPORT", "PGSSLROOTCERT"],
            Self::Mariadb | Self::Mysql => ["MYSQL_HOST", "MYSQL_TCP_PORT", "MYSQL_SSL_CA"],
        }
    }

    /// Returns the client's message for a login that IAM denies.
    #[must_use]
    pub fn denial(self, user: &str) -> String {
        match self {
            Self::Pam => format!("FATAL:  PAM authentication failed for user \"{user}\""),
            Self::Ldap => format!("FATAL:  LDAP authentication failed for user \"{user}\""),
            Self::Mariadb | Self::Mysql => {
                format!(
                    "ERROR 1045 (28000): Access denied for user '{user}'@'127.0.0.1' (using \
                     password: YES)"
                )
            }
        }
    }

    /// Returns SQL for the user name of the session. MySQL's includes the account's host pattern,
    /// `@%`.
    #[must_use]
    pub const fn whoami(self) -> &'static str {
        match self {
            Self::Pam | Self::Ldap => "SELECT current_user",
            Self::Mariadb | Self::Mysql => {
                "SELECT LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - 2)"
            }
        }
    }

    /// Returns `countersign local …` that runs SQL as the administrator.
    pub(crate) const fn administration(self) -> &'static [&'static str] {
        match self {
            Self::Pam | Self::Ldap => &[
                "psql",
                "--",
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set",
                "ON_ERROR_STOP=1",
                "--command",
            ],
            Self::Mariadb | Self::Mysql => {
                &["mysql", "--", "--batch", "--skip-column-names", "--execute"]
            }
        }
    }

    /// Returns the engine's client; `env` is the output of `local env`. TLS is verified, or not
    /// used.
    pub(crate) fn client(
        self,
        env: &HashMap<String, String>,
        tls: bool,
        user: &str,
        password: &str,
        sql: &str,
    ) -> Command {
        if self.engine() == Engine::Postgres {
            let mut psql = Command::new("psql");
            psql.args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--no-password",
                "--command",
                sql,
            ]);
            psql.envs(env.iter().filter(|(name, _)| name.starts_with("PG")))
                .env("PGUSER", user)
                .env("PGPASSWORD", password);
            psql.envs((!tls).then_some(("PGSSLMODE", "disable")));
            return psql;
        }
        let [host, port, ca] = self.variables().map(|name| &env[name]);
        let ca = format!("--ssl-ca={ca}");
        let (program, options): (_, &[&str]) = match (self, tls) {
            (Self::Mysql, true) => {
                (mysql_client(), &["--enable-cleartext-plugin", "--ssl-mode=VERIFY_IDENTITY", &ca])
            }
            (Self::Mysql, false) => {
                (mysql_client(), &["--enable-cleartext-plugin", "--ssl-mode=DISABLED"])
            }
            (_, true) => (Some("mariadb".into()), &["--ssl-verify-server-cert", &ca]),
            (_, false) => (Some("mariadb".into()), &["--skip-ssl"]),
        };
        let mut client = Command::new(program.expect("the client is here"));
        client.args([
            "--no-defaults",
            "--protocol=TCP",
            "--batch",
            "--skip-column-names",
            "--default-character-set=utf8mb4",
        ]);
        client.args(options).args([&format!("--host={host}"), &format!("--port={port}")]);
        client
            .args([&format!("--user={user}"), &format!("--execute={sql}")])
            .env("MYSQL_PWD", password);
        client
    }
}
