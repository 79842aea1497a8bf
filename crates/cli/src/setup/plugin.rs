//! `countersign setup plugin`: installs or removes AWSAuthenticationPlugin.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use countersign_core::failure::Failure;
use countersign_core::name::{Engine, InstanceId};
use countersign_setup::plugin::{self, InstallOptions, Server};
use countersign_setup::{Client, Connection};

use super::proposal::{PlanFlags, Proposal, failure, usage_failure};
use crate::process::{installed_library, io_failure};

const EXAMPLES: &str = "Examples:
  countersign setup plugin --engine mariadb --instance orders \\
    --verifier-socket /run/countersign/verifier.sock
  countersign setup plugin --engine mariadb --instance orders \\
    --verifier-socket /run/countersign/verifier.sock --apply
  countersign setup plugin --engine mariadb --remove --apply
If the administrator has a password, the client reads it as usual: --defaults-file, ~/.my.cnf or
MYSQL_PWD.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Engine of the server: mariadb or mysql
    #[arg(long, value_name = "ENGINE")]
    engine: Engine,
    /// Remove the plugin, unless accounts use it
    #[arg(long)]
    remove: bool,
    /// Unix socket of the verifier
    #[arg(long, value_name = "SOCKET", required_unless_present = "remove")]
    verifier_socket: Option<PathBuf>,
    /// Instance name that the server sends to the verifier
    #[arg(long, value_name = "NAME", required_unless_present = "remove")]
    instance: Option<InstanceId>,
    /// System user of the verifier, unless it is root or the server's user
    #[arg(long, value_name = "USER")]
    verifier_user: Option<String>,
    /// Option file to write, which the server must read [default:
    /// /etc/mysql/conf.d/countersign.cnf, if that directory is included]
    #[arg(long, value_name = "FILE")]
    config_file: Option<PathBuf>,
    /// Library of the plugin [default: beside this program]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_MYSQL_PLUGIN")]
    plugin: Option<PathBuf>,
    /// Option file that the client reads instead of its default ones
    #[arg(long, value_name = "FILE")]
    defaults_file: Option<PathBuf>,
    /// Unix socket of the server [default: the client's]
    #[arg(long, value_name = "SOCKET")]
    socket: Option<PathBuf>,
    /// Host of the server
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Port of the server
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Administrator to log in as [default: the client's]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    #[command(flatten)]
    plan_flags: PlanFlags,
}

/// Prints or applies the plan.
pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.engine == Engine::Postgres {
        return Err(usage_failure(
            "cannot install the plugin in PostgreSQL, which uses PAM or LDAP: --engine is mariadb \
             or mysql",
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
    let server = Server::inspect(&client, arguments.engine).map_err(|error| failure(&error))?;
    let proposal = match (&arguments.verifier_socket, &arguments.instance) {
        (Some(socket), Some(instance)) if !arguments.remove => {
            let missing = || {
                usage_failure(
                    "cannot find mysql_countersign.so beside this program: name it with \
                 --plugin",
                )
            };
            let options = InstallOptions {
                library: arguments
                    .plugin
                    .clone()
                    .or_else(|| installed_library("mysql_countersign.so"))
                    .ok_or_else(missing)?,
                config_file,
                verifier_socket: socket.clone(),
                instance: instance.clone(),
                verifier_user: arguments.verifier_user.clone(),
            };
            let plan = plugin::install(&server, &options).map_err(|error| failure(&error))?;
            Proposal {
                afterwards: plugin::next_steps(&server, &options, &plan),
                plan,
                complete: "AWSAuthenticationPlugin is loaded with these settings.",
                title: server.title(),
            }
        }
        _ => Proposal {
            plan: plugin::remove(&server, &config_file).map_err(|error| failure(&error))?,
            complete: "AWSAuthenticationPlugin is removed.",
            afterwards: Vec::new(),
            title: server.title(),
        },
    };
    proposal.execute(&client, &arguments.plan_flags)
}

/// Returns the absolute path of the given option file, or the default one.
fn config_file(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(file) => std::path::absolute(file)
            .map_err(|error| io_failure(&file.display().to_string(), &error)),
        None => plugin::default_file(Path::new("/")).ok_or_else(|| {
            usage_failure(
                "cannot choose an option file: the server does not include \
             /etc/mysql/conf.d; name a file that it reads with --config-file",
            )
        }),
    }
}
