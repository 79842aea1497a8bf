//! `countersign connect` and `exec`: a program that logs in with a fresh token, which reaches it through its environment.

use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use countersign_connect::target::Target;
use countersign_core::failure::{Class, Failure};
use countersign_core::token::AuthToken;

use crate::output;
use crate::signing::Signing;

const CLIENT_EXAMPLES: &str = "Examples:
  countersign connect postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders
  countersign connect 'postgres://jane@localhost:15432/orders?sslrootcert=/etc/ca.pem' -- -c 'select 1'

TLS is verified (sslmode=verify-full) unless the URL says otherwise by name. The CA is the URL's sslrootcert,
else PGSSLROOTCERT, else ~/.postgresql/root.crt.";

const COMMAND_EXAMPLES: &str = "Examples:
  countersign exec postgres://jane@mydb.abc.eu-west-1.rds.amazonaws.com/orders -- pg_dump --schema-only
  countersign exec postgres://jane@localhost/orders -- sh -c 'psql -c \"select current_user\"'

The command finds PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGSSLMODE and PGSSLROOTCERT in its environment.
The token is good for new logins for 15 minutes; sessions outlast it.";

/// What of libpq's variables the user's own environment may set: nothing that leads elsewhere than the URL says, or past TLS.
const KEPT: [&str; 12] = [
    "PGAPPNAME",
    "PGCLIENTENCODING",
    "PGCONNECT_TIMEOUT",
    "PGDATESTYLE",
    "PGGEQO",
    "PGLOCALEDIR",
    "PGOPTIONS",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    "PGTZ",
];

#[derive(Debug, clap::Args)]
#[command(after_help = CLIENT_EXAMPLES)]
pub(crate) struct ClientArguments {
    #[command(flatten)]
    destination: Destination,
    /// What psql is given besides
    #[arg(last = true, value_name = "PSQL ARGUMENT")]
    arguments: Vec<OsString>,
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
    /// Where to log in and as whom: `postgres://USER@HOST[:PORT][/DATABASE]`
    #[arg(value_name = "URL")]
    url: String,
    #[command(flatten)]
    signing: Signing,
}

/// Becomes psql.
pub(crate) fn client(arguments: &ClientArguments) -> Result<ExitCode, Failure> {
    let (target, token) = arguments.destination.token()?;
    let mut psql = Command::new("psql");
    psql.args(&arguments.arguments);
    become_program(psql, &target, &token, "psql is not there: install it (apt-get install postgresql-client)").map(|never| match never {})
}

/// Becomes any command.
pub(crate) fn command(arguments: &CommandArguments) -> Result<ExitCode, Failure> {
    let (target, token) = arguments.destination.token()?;
    let Some((program, rest)) = arguments.command.split_first() else { return Ok(ExitCode::from(countersign_core::failure::exit::USAGE)) };
    let mut command = Command::new(program);
    command.args(rest);
    become_program(command, &target, &token, "the command is not there").map(|never| match never {})
}

impl Destination {
    fn token(&self) -> Result<(Target, AuthToken), Failure> {
        let target = Target::parse(&self.url)?;
        let signer = self.signing.signer(target.engine, &target.host, target.port)?;
        let token = signer.token(&target.user, SystemTime::now())?;
        Ok((target, token))
    }
}

/// Replaces this process: the program's exit status, signals and terminal are its own.
fn become_program(mut program: Command, target: &Target, token: &AuthToken, missing: &str) -> Result<Infallible, Failure> {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PG") && !KEPT.contains(&name)) {
            program.env_remove(name);
        }
    }
    program.env("PGHOST", target.host.as_str()).env("PGPORT", target.port.to_string()).env("PGUSER", target.user.as_str());
    program.env("PGPASSWORD", token.expose()).env("PGSSLMODE", "verify-full").env("PGGSSENCMODE", "disable");
    program.envs(target.database.as_ref().map(|database| ("PGDATABASE", database)));
    program.envs(target.settings.iter().map(|(name, value)| (*name, value)));
    check_tls(target)?;
    let error = program.exec();
    let name = program.get_program().to_string_lossy().into_owned();
    let detail = if error.kind() == std::io::ErrorKind::NotFound { format!("{missing}: {name}") } else { format!("{name}: {error}") };
    Err(Failure::new(Class::Configuration, detail))
}

/// Says what libpq would say too late or not at all: that the CA is missing, or that a token would cross the network in clear.
fn check_tls(target: &Target) -> Result<(), Failure> {
    let setting = |name: &str| target.settings.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.as_str());
    match setting("PGSSLMODE").unwrap_or("verify-full") {
        "verify-full" | "verify-ca" => {}
        "require" => return Ok(()),
        mode => {
            output::note(&format!("warning: sslmode={mode} may send the token without TLS; servers that enforce IAM refuse that"));
            return Ok(());
        }
    }
    let named = setting("PGSSLROOTCERT").map(PathBuf::from).or_else(|| env::var_os("PGSSLROOTCERT").map(PathBuf::from));
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".postgresql/root.crt"));
    let Some(file) = named.or(home) else { return Ok(()) };
    // `system` is libpq's word for the operating system's CAs.
    if file.as_os_str() == "system" || file.exists() {
        return Ok(());
    }
    let advice = match target.host.as_str() {
        "localhost" | "127.0.0.1" | "::1" => "for the local stack: eval \"$(countersign local env)\"",
        _ => "for RDS download its bundle (global-bundle.pem) and name it as sslrootcert in the URL or in PGSSLROOTCERT",
    };
    let detail = format!("the CA certificates {} do not exist: {advice}", file.display());
    Err(Failure::new(Class::Configuration, detail))
}
