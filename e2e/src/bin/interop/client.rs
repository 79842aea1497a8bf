//! Rows of the table: the drivers, how each is started, and where it differs from the others.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::run;

use crate::case::{Case, Expected};

/// A set of drivers that is installed together, and missing together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kit {
    PostgreSql,
    MariaDb,
    MySql,
    Python,
    MysqlClient,
    Node,
    Node20,
    Java,
    Go,
    OldGo,
    Rust,
}

impl Kit {
    /// Name for `--without`; also the directory below `--tools`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PostgreSql => "postgresql",
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
            Self::Python => "python",
            Self::MysqlClient => "mysqlclient",
            Self::Node => "node",
            Self::Node20 => "node-20",
            Self::Java => "java",
            Self::Go => "go",
            Self::OldGo => "old-go",
            Self::Rust => "rust",
        }
    }
}

/// Directories of the programs.
pub(crate) struct Place<'a> {
    /// Installed and built drivers, a directory per kit.
    pub(crate) tools: &'a Path,
    /// MySQL's command-line client.
    pub(crate) mysql: &'a Path,
}

impl Place<'_> {
    fn source(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(file)
    }

    fn tool(&self, kit: Kit, file: &str) -> PathBuf {
        self.tools.join(kit.name()).join(file)
    }
}

/// Source of a driver's version.
enum Version {
    /// Output of the program.
    Said(&'static str),
    /// This file, after this name.
    Pinned(&'static str, &'static str),
}

/// A driver.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) kit: Kit,
    /// Name of the program in its kit.
    program: &'static str,
    version: Version,
    /// Message of a driver that does not send a token without TLS. `None` if it does, and the
    /// server rejects it.
    plain: Option<&'static str>,
    /// Message about a certificate with another name or address.
    name_mismatch: &'static str,
    /// Known difference.
    limits: &'static [Limit],
}

/// A known difference from the expected behavior. It is asserted exactly, so that a change is
/// noticed.
pub(crate) struct Limit {
    pub(crate) case: Case,
    /// Server that it applies to; `None` for all.
    pub(crate) engine: Option<Engine>,
    expected: Expected,
    pub(crate) why: &'static str,
}

pub(crate) const CLIENTS: [Client; 15] = [
    Client {
        name: "psql",
        kit: Kit::PostgreSql,
        program: "psql.sh",
        version: Version::Said("psql"),
        plain: None,
        name_mismatch: "does not match host name",
        limits: &[],
    },
    Client {
        name: "mysql",
        kit: Kit::MySql,
        program: "mysql.sh",
        version: Version::Said("mysql"),
        plain: None,
        name_mismatch: "certificate verify failed",
        limits: &[],
    },
    Client {
        name: "mariadb",
        kit: Kit::MariaDb,
        program: "mariadb.sh",
        version: Version::Said("mariadb"),
        plain: None,
        name_mismatch: "TLS/SSL error",
        limits: &[],
    },
    Client {
        name: "PyMySQL",
        kit: Kit::Python,
        program: "pymysql_login.py",
        version: Version::Pinned("python/requirements.txt", "PyMySQL"),
        plain: None,
        name_mismatch: "certificate is not valid for",
        limits: &[],
    },
    Client {
        name: "mysql-connector-python",
        kit: Kit::Python,
        program: "mysql_connector_login.py",
        version: Version::Pinned("python/requirements.txt", "mysql-connector-python"),
        plain: Some("mysql_clear_password requires SSL"),
        name_mismatch: "certificate is not valid for",
        limits: &[],
    },
    Client {
        name: "mysqlclient",
        kit: Kit::MysqlClient,
        program: "mysqlclient_login.py",
        version: Version::Pinned("python/requirements-mysqlclient.txt", "mysqlclient="),
        plain: None,
        name_mismatch: "TLS/SSL error",
        limits: &[],
    },
    Client {
        name: "mysql2",
        kit: Kit::Node,
        program: "mysql2.mjs",
        version: Version::Pinned("node/package.json", "\"mysql2\""),
        plain: None,
        name_mismatch: "does not match certificate's altnames",
        limits: &[Limit {
            case: Case::OtherAddress,
            engine: None,
            expected: Expected::Opens,
            why: "verifyIdentity holds the certificate against a name alone: an IP address is not \
             looked at",
        }],
    },
    Client {
        name: "mariadb-npm",
        kit: Kit::Node20,
        program: "mariadb.mjs",
        version: Version::Pinned("node-20/package.json", "\"mariadb\""),
        plain: Some("mysql_clear_password authentication requires TLS"),
        name_mismatch: "does not match certificate's altnames",
        limits: &[Limit {
            case: Case::OtherAddress,
            engine: None,
            expected: Expected::Late("does not match certificate's altnames"),
            why: "it holds the certificate against a name at once, but against an IP address when \
             the token has been sent",
        }],
    },
    Client {
        name: "mariadb-npm-old",
        kit: Kit::Node,
        program: "mariadb.mjs",
        version: Version::Pinned("node/package.json", "\"mariadb\""),
        plain: None,
        name_mismatch: "certificate",
        limits: &[
            Limit {
                case: Case::OtherName,
                engine: Some(Engine::Mariadb),
                expected: Expected::Late("self-signed certificate"),
                why: "it looks at the certificate of a MariaDB server when the token has been \
                 sent: use 3.5, and a name",
            },
            Limit {
                case: Case::OtherAddress,
                engine: None,
                expected: Expected::Late("does not match certificate's altnames"),
                why: "likewise",
            },
        ],
    },
    Client {
        name: "mysql-connector-j",
        kit: Kit::Java,
        program: "MySql",
        version: Version::Pinned("java/pom.xml", "mysql-connector-j"),
        plain: Some("SSL connection required for plugin \"mysql_clear_password\""),
        name_mismatch: "Server identity verification failed",
        limits: &[],
    },
    Client {
        name: "mariadb-java-client",
        kit: Kit::Java,
        program: "MariaDb",
        version: Version::Pinned("java/pom.xml", "mariadb-java-client"),
        plain: Some("Cannot use authentication plugin mysql_clear_password if SSL is not enabled"),
        name_mismatch: "SSL hostname verification failed",
        limits: &[],
    },
    Client {
        name: "go-sql-driver",
        kit: Kit::Go,
        program: "login",
        version: Version::Pinned("go/go.mod", "go-sql-driver/mysql"),
        plain: None,
        name_mismatch: "x509: certificate is valid for",
        limits: &[],
    },
    Client {
        name: "go-sql-driver-old",
        kit: Kit::OldGo,
        program: "login",
        version: Version::Pinned("go/old.mod", "go-sql-driver/mysql"),
        plain: None,
        name_mismatch: "x509: certificate is valid for",
        limits: &[Limit {
            case: Case::Long(8_000),
            engine: None,
            expected: Expected::Refused("panic: runtime error: slice bounds out of range"),
            why: "it panics where a token has more than 4,091 characters: \
             go-sql-driver/mysql#1482, mended since",
        }],
    },
    Client {
        name: "sqlx",
        kit: Kit::Rust,
        program: "sqlx-login",
        version: Version::Pinned("rust/Cargo.toml", "sqlx ="),
        plain: None,
        name_mismatch: "certificate not valid for name",
        limits: &[],
    },
    Client {
        name: "mysql_async",
        kit: Kit::Rust,
        program: "mysql-async-login",
        version: Version::Pinned("rust/Cargo.toml", "mysql_async ="),
        plain: None,
        name_mismatch: "certificate not valid for name",
        limits: &[],
    },
];

impl Client {
    pub(crate) fn speaks_to(&self, engine: Engine) -> bool {
        (self.kit == Kit::PostgreSql) == (engine == Engine::Postgres)
    }

    pub(crate) const fn limits(&self) -> &'static [Limit] {
        self.limits
    }

    pub(crate) fn limit(&self, case: Case, server: Engine) -> Option<&'static Limit> {
        self.limits
            .iter()
            .find(|limit| limit.case == case && limit.engine.is_none_or(|engine| engine == server))
    }

    /// Returns the expected result of a case.
    pub(crate) fn expected(&self, case: Case, server: Engine) -> Expected {
        if let Some(limit) = self.limit(case, server) {
            return limit.expected;
        }
        match case {
            Case::Short | Case::Long(_) | Case::Proxy => Expected::Opens,
            Case::Tampered => Expected::Denied,
            Case::Plain => self.plain.map_or(Expected::Denied, Expected::Refused),
            Case::OtherName | Case::OtherAddress => Expected::Refused(self.name_mismatch),
        }
    }

    /// Returns the command line.
    pub(crate) fn command(&self, place: &Place<'_>) -> Vec<OsString> {
        let tool = |file: &str| place.tool(self.kit, file).into_os_string();
        let source = |directory: &str| Place::source(directory).join(self.program).into_os_string();
        match self.kit {
            Kit::PostgreSql | Kit::MariaDb => vec![source("shell")],
            Kit::MySql => {
                let mut mysql = OsString::from("INTEROP_MYSQL=");
                mysql.push(place.mysql);
                vec!["env".into(), mysql, source("shell")]
            }
            Kit::Python | Kit::MysqlClient => vec![tool("bin/python"), source("python")],
            Kit::Node | Kit::Node20 => vec!["node".into(), tool(self.program)],
            Kit::Java => {
                let mut path = tool("classes:");
                path.push(tool("lib/*"));
                vec![
                    "java".into(),
                    "-XX:TieredStopAtLevel=1".into(),
                    "-cp".into(),
                    path,
                    self.program.into(),
                ]
            }
            Kit::Go | Kit::OldGo => vec![tool(self.program)],
            // In the target directory shared with this program.
            Kit::Rust => vec![
                std::env::current_exe()
                    .unwrap_or_default()
                    .with_file_name(self.program)
                    .into_os_string(),
            ],
        }
    }

    /// Returns the version, or the reason why it is unknown.
    pub(crate) fn version(&self, place: &Place<'_>) -> Result<String, String> {
        match self.version {
            Version::Said(program) => {
                let program = if self.kit == Kit::MySql { place.mysql } else { Path::new(program) };
                let output = run(Command::new("env").arg(program).arg("--version"));
                let behind = ["Distrib ", "from ", "Ver ", ") "];
                let version = behind.iter().find_map(|mark| number(output.out.split_once(mark)?.1));
                version.ok_or_else(|| {
                    format!("{} --version: {} {}", program.display(), output.out, output.err)
                })
            }
            Version::Pinned(file, name) => {
                let path = Place::source(file);
                let text = fs::read_to_string(&path)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let version = text.split_once(name).and_then(|(_, rest)| {
                    number(rest.get(rest.find(|c: char| c.is_ascii_digit())?..)?)
                });
                version.ok_or_else(|| format!("{} pins no {name}", path.display()))
            }
        }
    }
}

/// Extracts the version at the start of a text.
fn number(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0).then(|| text.get(..end).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests;
