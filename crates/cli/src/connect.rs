//! `countersign connect` and `exec`: a program that logs in with a fresh token, which reaches it through its environment.

mod mysql;
mod postgres;

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use countersign_connect::database_url::DatabaseUrl;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::token::AuthToken;

use crate::proxy::{self, Session, duration};
use crate::signing::Signing;

const CLIENT_EXAMPLES: &str = "Examples:
  countersign connect postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders
  countersign connect 'postgres://jane@localhost:15432/orders?sslrootcert=/etc/ca.pem' -- -c 'select 1'
  countersign connect 'mysql://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders?ssl-ca=/etc/ca.pem'
  countersign connect mariadb://jane@localhost:13306/orders -- -e 'select current_user()'
  countersign connect orders -p 5433 -d 30m            # [targets.orders] of countersign.toml

TLS is verified, the host name too, unless the URL says otherwise by name (sslmode, ssl-mode).
The CA of PostgreSQL is the URL's sslrootcert, else PGSSLROOTCERT, else ~/.postgresql/root.crt;
that of MySQL and MariaDB the URL's ssl-ca, else MYSQL_SSL_CA. mysql and mariadb read no option
files here.";

const COMMAND_EXAMPLES: &str = "Examples:
  countersign exec postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders -- pg_dump --schema-only
  countersign exec postgres://jane@localhost/orders -- sh -c 'psql -c \"select current_user\"'
  countersign exec mysql://jane@localhost:13307/orders -- ./app

The command finds PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE and PGSSLROOTCERT in
its environment; for MySQL and MariaDB MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_DATABASE,
MYSQL_PWD, MYSQL_SSL_MODE, MYSQL_SSL_CA and LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN. Of these, the
servers' own programs take no more than host, port and password: give them user, database and
TLS as flags.
The token is good for new logins for 15 minutes; sessions outlast it.";

#[derive(Debug, clap::Args)]
#[command(after_help = CLIENT_EXAMPLES)]
pub(crate) struct ClientArguments {
    #[command(flatten)]
    destination: Destination,
    /// What the client is given besides
    #[arg(last = true, value_name = "CLIENT ARGUMENT")]
    arguments: Vec<OsString>,
    /// Of a target's name: the local port [default: 5433 for PostgreSQL, 3307 for MySQL and MariaDB]
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    /// Of a target's name: how long it can be reached [default: until Ctrl-C]
    #[arg(long, short, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Of a target's name: the file that it is in, as in `countersign proxy --config`
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_PROXY_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = COMMAND_EXAMPLES)]
pub(crate) struct CommandArguments {
    #[command(flatten)]
    destination: Destination,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct Destination {
    /// Where to log in and as whom: `postgres://USER@HOST[:PORT][/DATABASE]`, or mysql:// or mariadb:// in front
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    signing: Signing,
}

/// How the clients of one kind of server are told, through their environment, where to log in and how far to verify TLS.
/// The token is not in it.
#[derive(Debug)]
struct Environment {
    /// How the names of the variables begin that these clients heed.
    prefixes: &'static [&'static str],
    /// Which of them the user's own environment may set: nothing that leads elsewhere than the URL says, or past TLS.
    kept: &'static [&'static str],
    /// What is set.
    set: Vec<(&'static str, OsString)>,
    /// The variable that takes the token.
    password: &'static str,
}

/// Becomes psql, mysql or mariadb; or listens for a target that has a name.
pub(crate) fn client(arguments: ClientArguments) -> Result<ExitCode, Failure> {
    if !arguments.destination.url.contains("://") {
        return session(arguments);
    }
    if arguments.port.is_some() || arguments.duration.is_some() {
        return Err(Failure::new(
            Class::Usage,
            "-p and -d are for the name of a target in countersign.toml; a URL opens a client",
        ));
    }
    let (target, token) = arguments.destination.token()?;
    let environment = environment(&target)?;
    let (mut client, missing) = match target.engine {
        Engine::Postgres => (
            Command::new("psql"),
            "psql is not there: install it (apt-get install postgresql-client)",
        ),
        Engine::Mariadb | Engine::Mysql => (mysql::client(&target)?, mysql::MISSING),
    };
    client.args(&arguments.arguments);
    become_program(client, &environment, &token, missing).map(|never| match never {})
}

fn session(arguments: ClientArguments) -> Result<ExitCode, Failure> {
    let ClientArguments {
        destination: Destination { url: name, signing },
        arguments,
        port,
        duration,
        config,
    } = arguments;
    if !arguments.is_empty() {
        return Err(Failure::new(
            Class::Usage,
            format!(
                "{name:?} is no URL, and a target's name opens no client: leave out what is after --"
            ),
        ));
    }
    let Signing { region, profile } = signing;
    proxy::open(Session { name, config, port, time: duration, region, profile })
}

/// Becomes any command.
pub(crate) fn command(arguments: &CommandArguments) -> Result<ExitCode, Failure> {
    let (target, token) = arguments.destination.token()?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Ok(ExitCode::from(countersign_core::failure::exit::USAGE));
    };
    let mut command = Command::new(program);
    command.args(rest);
    become_program(command, &environment(&target)?, &token, "the command is not there")
        .map(|never| match never {})
}

impl Destination {
    fn token(&self) -> Result<(DatabaseUrl, AuthToken), Failure> {
        let target = DatabaseUrl::parse(&self.url)?;
        let signer = self.signing.signer(target.engine, &target.host, target.port)?;
        let token = signer.token(&target.user, SystemTime::now())?;
        Ok((target, token))
    }
}

/// What the target's clients are told; a warning where that lets the token cross the network in clear.
fn environment(target: &DatabaseUrl) -> Result<Environment, Failure> {
    match target.engine {
        Engine::Postgres => postgres::check_tls(target).map(|()| postgres::environment(target)),
        Engine::Mariadb | Engine::Mysql => {
            mysql::warn_of_clear_text(target);
            Ok(mysql::environment(target, mysql::authorities(target, env::var_os(mysql::CA))?))
        }
    }
}

impl Environment {
    /// Whether a variable of the user's own must not reach the program.
    fn is_foreign(&self, name: &str) -> bool {
        self.prefixes.iter().any(|prefix| name.starts_with(prefix)) && !self.kept.contains(&name)
    }
}

/// Replaces this process: the program's exit status, signals and terminal are its own.
fn become_program(
    mut program: Command,
    environment: &Environment,
    token: &AuthToken,
    missing: &str,
) -> Result<Infallible, Failure> {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| environment.is_foreign(name)) {
            program.env_remove(name);
        }
    }
    program
        .envs(environment.set.iter().map(|(name, value)| (*name, value)))
        .env(environment.password, token.expose());
    let error = program.exec();
    let name = program.get_program().to_string_lossy().into_owned();
    let detail = if error.kind() == std::io::ErrorKind::NotFound {
        format!("{missing}: {name}")
    } else {
        format!("{name}: {error}")
    };
    Err(Failure::new(Class::Configuration, detail))
}

/// Whether the host is this machine, as the local stack's is.
fn is_local(target: &DatabaseUrl) -> bool {
    matches!(target.host.as_str(), "localhost" | "127.0.0.1" | "::1")
}

/// The refusal of a file of CA certificates that isn't there.
fn no_such_authorities(file: &Path, advice: &str) -> Failure {
    Failure::new(
        Class::Configuration,
        format!("the CA certificates {} do not exist: {advice}", file.display()),
    )
}
