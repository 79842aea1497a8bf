//! `setup plugin`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_core::failure::Failure;
use countersign_core::name::{Engine, InstanceId};
use countersign_setup::plugin::{self, Server, Wanted};
use countersign_setup::{Client, Connection};

use super::{Manner, Proposal, failure, misused};
use crate::local::beside;

const EXAMPLES: &str = "Examples:
  countersign setup plugin --engine mariadb --verifier-socket /run/countersign/verifier.sock --instance orders
  countersign setup plugin --engine mariadb --verifier-socket /run/countersign/verifier.sock --instance orders --apply
  countersign setup plugin --engine mariadb --remove --apply
The administrator's password, where there is one, goes to the client by its own means: --defaults-file, ~/.my.cnf or MYSQL_PWD.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The server's engine: mariadb or mysql
    #[arg(long, value_name = "ENGINE")]
    engine: Engine,
    /// Take it out, unless accounts log in by it
    #[arg(long)]
    remove: bool,
    /// Where the verifier listens
    #[arg(long, value_name = "SOCKET", required_unless_present = "remove")]
    verifier_socket: Option<PathBuf>,
    /// The name under which the server asks
    #[arg(long, value_name = "NAME", required_unless_present = "remove")]
    instance: Option<InstanceId>,
    /// The system user whom the verifier runs as, unless that is root or the server's own
    #[arg(long, value_name = "USER")]
    verifier_user: Option<String>,
    /// The option file to write, which the server has to read [default: /etc/mysql/conf.d/countersign.cnf, where that directory
    /// is included]
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// The plugin's library [default: beside this program]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_MYSQL_PLUGIN")]
    plugin: Option<PathBuf>,
    /// The option file that the client reads in place of the usual ones
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
    /// The server's Unix socket [default: the client's]
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// The server's host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// The server's port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The administrator to log in as [default: the client's]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    manner: Manner,
}

/// Prints what is to be done, or does it.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.engine == Engine::Postgres {
        return Err(misused(
            "--engine is mariadb or mysql: PostgreSQL asks by PAM or LDAP, and loads no plugin",
        ));
    }
    let config_file = config_file(arguments.config_file.as_deref())?;
    let client = Client::new(
        arguments.engine,
        &Connection {
            defaults_file: arguments.defaults_file.clone(),
            socket: arguments.socket.clone(),
            host: arguments.host.clone(),
            port: arguments.port,
            user: arguments.user.clone(),
        },
    );
    let server = Server::ask(&client, arguments.engine).map_err(|error| failure(&error))?;
    let proposal = match (&arguments.verifier_socket, &arguments.instance) {
        (Some(socket), Some(instance)) if !arguments.remove => {
            let missing = || {
                misused("mysql_countersign.so is not beside this program: name it with --plugin")
            };
            let wanted = Wanted {
                library: arguments
                    .plugin
                    .clone()
                    .or_else(|| beside("mysql_countersign.so"))
                    .ok_or_else(missing)?,
                config_file,
                verifier_socket: socket.clone(),
                instance: instance.clone(),
                verifier_user: arguments.verifier_user.clone(),
            };
            let plan = plugin::install(&server, &wanted).map_err(|error| failure(&error))?;
            Proposal {
                afterwards: plugin::afterwards(&server, &wanted, &plan),
                plan,
                complete: "AWSAuthenticationPlugin is loaded, with these settings.",
                title: server.title(),
            }
        }
        _ => Proposal {
            plan: plugin::remove(&server, &config_file).map_err(|error| failure(&error))?,
            complete: "AWSAuthenticationPlugin is not there any more.",
            afterwards: Vec::new(),
            title: server.title(),
        },
    };
    proposal.carry_out(&client, &arguments.manner)
}

/// The file named, absolute, or the usual one.
fn config_file(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(file) => std::path::absolute(file).map_err(|error| crate::io_failure(&file.display().to_string(), &error)),
        None => plugin::default_file(Path::new("/")).ok_or_else(|| {
            misused("there is no /etc/mysql/conf.d that the server's option files include: name a file that the server reads with --config-file")
        }),
    }
}
