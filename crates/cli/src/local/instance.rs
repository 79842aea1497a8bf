//! `countersign local instance`: servers outside of the stack that use its verifier.

use std::process::ExitCode;

use countersign_authority::model::Instance;
use countersign_core::endpoint::HostName;
use countersign_core::failure::Failure;
use countersign_core::name::{Engine, InstanceId};
use countersign_local::identities::DEFAULT_USER;
use countersign_local::stack::attached::Attached;
use countersign_local::state::State;
use countersign_local::{Layout, LocalError};
use serde_json::{Value, json};

use super::context::with_identities_of;
use crate::output::{self, Format};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Attach a server: identities with a policy may log in there once it uses this stack's
    /// verifier
    Add(Add),
    /// List the attached servers
    List {
        /// Output format
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Remove an attached server: logins there are denied from then on
    Remove {
        /// Instance name
        name: InstanceId,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  countersign local instance add orders --engine mariadb --hostname \
     127.0.0.1 --port 3306"
)]
pub(super) struct Add {
    /// Instance name that the server sends to the verifier
    name: InstanceId,
    /// Engine: postgres, mariadb or mysql
    #[arg(long, value_name = "ENGINE")]
    engine: Engine,
    /// Host that clients connect to and tokens are signed for; repeat it for each further name
    #[arg(long, value_name = "HOST", required = true)]
    hostname: Vec<HostName>,
    /// Port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Runs the command, whether or not the stack runs: it changes the authority's state.
pub(super) fn run(layout: &Layout, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Add(server) => add(layout, server),
        Command::List { output: format } => {
            let attached = with_identities_of(last, layout, |identities, _| identities.attached())?;
            match format {
                Format::Json => output::json(&attached.iter().map(value).collect::<Vec<_>>())?,
                Format::Text => output::line(&table(&attached))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Remove { name } => {
            with_identities_of(last, layout, |identities, _| identities.detach(name))?;
            output::note(&format!("removed {name}: logins there are denied from now on"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn add(layout: &Layout, server: &Add) -> Result<ExitCode, Failure> {
    let Add { name, engine, hostname, port } = server;
    let attached =
        Attached { name: name.clone(), engine: *engine, hosts: hostname.clone(), port: *port };
    let id = with_identities_of(last, layout, |identities, _| identities.attach(&attached))?;
    output::note(&format!(
        "attached {name} as {id}: {DEFAULT_USER} may log in there, others once `countersign local \
         user grant NAME` has made their \
         policies anew"
    ));
    Ok(ExitCode::SUCCESS)
}

/// Reads the state of the stack, whether or not it runs.
fn last(layout: &Layout) -> Result<State, LocalError> {
    State::read(layout)?.ok_or_else(|| LocalError::NotRunning(layout.root().to_owned()))
}

/// Formats a server as JSON.
pub(super) fn value(instance: &Instance) -> Value {
    let hosts: Vec<&str> = instance.addresses.iter().map(|address| address.host.as_str()).collect();
    json!({
        "instance": instance.name,
        "engine": instance.engine,
        "resource_id": instance.resource_id,
        "hosts": hosts,
        "port": instance.addresses.first().map(|address| address.port),
    })
}

/// Formats servers as a table.
pub(super) fn table(instances: &[Instance]) -> String {
    let heading = ["INSTANCE", "ENGINE", "ADDRESS", "RESOURCE ID"].map(str::to_owned).to_vec();
    let rows = instances.iter().map(|instance| {
        let addresses: Vec<String> = instance
            .addresses
            .iter()
            .map(|address| format!("{}:{}", address.host, address.port))
            .collect();
        vec![
            instance.name.to_string(),
            instance.engine.to_string(),
            addresses.join(", "),
            instance.resource_id.to_string(),
        ]
    });
    output::columns(&std::iter::once(heading).chain(rows).collect::<Vec<_>>())
}
