//! `countersign connect` and `countersign exec`: run a program that logs in with a fresh token,
//! which it receives through its environment.

mod environment;
mod mysql;
mod postgres;

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, SystemTime};

use countersign_connect::database_url::DatabaseUrl;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::token::AuthToken;

use environment::ClientEnvironment;

use crate::proxy::{self, Session, duration};
use crate::signing::Signing;

const CLIENT_EXAMPLES: &str = "Examples:
  countersign connect postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders
  countersign connect 'postgres://jane@localhost/orders?sslrootcert=/etc/ca.pem' -- -c 'select 1'
  countersign connect 'mysql://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders?ssl-ca=/etc/ca.pem'
  countersign connect mariadb://jane@localhost:13306/orders -- -e 'select current_user()'
  countersign connect orders -p 5433 -d 30m            # [targets.orders] of countersign.toml

TLS certificate and host name are verified unless the URL sets another sslmode or ssl-mode.
CA certificates for PostgreSQL: sslrootcert in the URL, otherwise PGSSLROOTCERT, otherwise
~/.postgresql/root.crt; for MySQL and MariaDB: ssl-ca in the URL, otherwise MYSQL_SSL_CA.
mysql and mariadb run without option files.";

const COMMAND_EXAMPLES: &str = "Examples:
  countersign exec postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders -- pg_dump -s
  countersign exec postgres://jane@localhost/orders -- sh -c 'psql -c \"select current_user\"'
  countersign exec mysql://jane@localhost:13307/orders -- ./app

The command's environment has PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE and
PGSSLROOTCERT; for MySQL and MariaDB MYSQL_HOST, MYSQL_TCP_PORT, MYSQL_USER, MYSQL_DATABASE,
MYSQL_PWD, MYSQL_SSL_MODE, MYSQL_SSL_CA and LIBMYSQL_ENABLE_CLEARTEXT_PLUGIN. MySQL's and
MariaDB's own programs read only host, port and password of these: pass user, database and TLS
mode as flags.
The token is valid for new logins for 15 minutes; open sessions continue after that.";

#[derive(Debug, clap::Args)]
#[command(after_help = CLIENT_EXAMPLES)]
pub(crate) struct ClientArguments {
    #[command(flatten)]
    destination: Destination,
    /// Additional arguments of the client
    #[arg(last = true, value_name = "CLIENT ARGUMENT")]
    arguments: Vec<OsString>,
    /// Local port of a configured target [default: 5433 for PostgreSQL, 3307 for MySQL and MariaDB]
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    /// Time for which a configured target is served [default: until Ctrl-C]
    #[arg(long, short, value_name = "DURATION", value_parser = duration::parse)]
    duration: Option<Duration>,
    /// Configuration file of the target, as in `countersign proxy --config`
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_PROXY_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = COMMAND_EXAMPLES)]
pub(crate) struct CommandArguments {
    #[command(flatten)]
    destination: Destination,
    /// Command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, clap::Args)]
struct Destination {
    /// Database: `postgres://USER@HOST[:PORT][/DATABASE]`, `mysql://…` or `mariadb://…`; or a
    /// target of countersign.toml
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    signing: Signing,
}

/// Executes psql, mysql or mariadb for a URL, or serves a configured target.
pub(crate) fn client(arguments: ClientArguments) -> Result<ExitCode, Failure> {
    if !arguments.destination.url.contains("://") {
        return session(arguments);
    }
    if arguments.port.is_some() || arguments.duration.is_some() {
        return Err(Failure::new(
            Class::Usage,
            "cannot use -p or -d with a URL: they apply to a target of countersign.toml",
        ));
    }
    let (target, token) = arguments.destination.token()?;
    let environment = environment(&target)?;
    let (mut client, missing) = match target.engine {
        Engine::Postgres => (
            Command::new("psql"),
            "cannot find psql: install it (apt-get install postgresql-client)",
        ),
        Engine::Mariadb | Engine::Mysql => (mysql::client(&target)?, mysql::MISSING),
    };
    client.args(&arguments.arguments);
    exec_program(client, &environment, &token, missing).map(|never| match never {})
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
                "cannot pass arguments to a client of {name:?}: it is not a URL, and a configured \
                 target opens no client; omit what follows --"
            ),
        ));
    }
    let Signing { region, profile } = signing;
    proxy::open(Session { name, config, port, time: duration, region, profile })
}

/// Executes a command.
pub(crate) fn command(arguments: &CommandArguments) -> Result<ExitCode, Failure> {
    let (target, token) = arguments.destination.token()?;
    let Some((program, rest)) = arguments.command.split_first() else {
        return Ok(ExitCode::from(countersign_core::failure::exit::USAGE));
    };
    let mut command = Command::new(program);
    command.args(rest);
    exec_program(command, &environment(&target)?, &token, "cannot find the command")
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

/// Returns the environment of the target's clients. Warns if the token could be sent without TLS.
fn environment(target: &DatabaseUrl) -> Result<ClientEnvironment, Failure> {
    match target.engine {
        Engine::Postgres => postgres::check_tls(target).map(|()| postgres::environment(target)),
        Engine::Mariadb | Engine::Mysql => {
            mysql::warn_about_plaintext(target);
            Ok(mysql::environment(target, mysql::ca_file(target, env::var_os(mysql::CA))?))
        }
    }
}

/// Replaces this process by the program, which keeps the terminal and receives all signals.
fn exec_program(
    mut program: Command,
    environment: &ClientEnvironment,
    token: &AuthToken,
    missing: &str,
) -> Result<Infallible, Failure> {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| environment.is_removed(name)) {
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
        format!("cannot run {name}: {error}")
    };
    Err(Failure::new(Class::Configuration, detail))
}
