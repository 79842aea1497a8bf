//! `local instance`: servers that somebody else runs, and that ask this stack.

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

use super::with_people_of;
use crate::output::{self, Format};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Attach a server: whoever has a policy may log in there once it asks this stack
    Add(Add),
    /// Show the servers that are attached
    List {
        /// How it is printed
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Forget a server that is attached: nobody is let in there any more
    Remove {
        /// Its name
        name: InstanceId,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  countersign local instance add orders --engine mariadb --hostname 127.0.0.1 --port 3306"
)]
pub(super) struct Add {
    /// The name that the server asks under
    name: InstanceId,
    /// Its engine: postgres, mariadb or mysql
    #[arg(long, value_name = "ENGINE")]
    engine: Engine,
    /// The host that clients connect to and tokens are signed for; once more for each further name of it
    #[arg(long, value_name = "HOST", required = true)]
    hostname: Vec<HostName>,
    /// Its port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// Runs the command, whether or not the stack runs just now: what it changes is the authority's.
pub(super) fn run(layout: &Layout, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Add(server) => add(layout, server),
        Command::List { output: format } => {
            let attached = with_people_of(last, layout, |people, _| people.attached())?;
            match format {
                Format::Json => output::json(&attached.iter().map(value).collect::<Vec<_>>())?,
                Format::Text => output::line(&table(&attached))?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Remove { name } => {
            with_people_of(last, layout, |people, _| people.detach(name))?;
            output::note(&format!("{name} is forgotten: nobody is let in there from now on"));
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn add(layout: &Layout, server: &Add) -> Result<ExitCode, Failure> {
    let Add { name, engine, hostname, port } = server;
    let attached =
        Attached { name: name.clone(), engine: *engine, hosts: hostname.clone(), port: *port };
    let id = with_people_of(last, layout, |people, _| people.attach(&attached))?;
    output::note(&format!(
        "attached {name} as {id}: {DEFAULT_USER} may log in there, others once `countersign local user grant NAME` has made their \
         policies anew"
    ));
    Ok(ExitCode::SUCCESS)
}

/// The stack that runs or ran here: its authority's store is there either way.
fn last(layout: &Layout) -> Result<State, LocalError> {
    State::read(layout)?.ok_or_else(|| LocalError::NotRunning(layout.root().to_owned()))
}

/// A server as JSON has it.
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

/// The servers as a table.
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
