//! `countersign local status`: shows the stack's servers.

use std::process::ExitCode;

use countersign_core::failure::{Class, Failure, exit};
use countersign_local::state::State;
use countersign_local::{Layout, LocalError};

use super::context::{failure, with_identities};
use super::instance;
use crate::output::{self, Format};

/// Prints the state of the stack.
pub(super) fn run(layout: &Layout, format: Format) -> Result<ExitCode, Failure> {
    let state = match State::read_running(layout) {
        Ok(state) => state,
        Err(LocalError::NotRunning(_)) => {
            match format {
                Format::Json => {
                    output::json(&serde_json::json!({"running": false, "dir": layout.root()}))?
                }
                Format::Text => {
                    output::line(&format!("no stack runs in {}", layout.root().display()))?
                }
            }
            return Ok(ExitCode::from(exit::DENIED));
        }
        Err(error) => return Err(failure(&error)),
    };
    let (running, attached) = with_identities(layout, |identities, state| {
        let running = state
            .instances
            .iter()
            .map(|instance| identities.is_running(instance))
            .collect::<Result<Vec<_>, _>>()?;
        Ok((running, identities.attached()?))
    })?;
    match format {
        Format::Json => {
            let mut value = serde_json::to_value(&state)
                .map_err(|error| Failure::new(Class::Internal, error.to_string()))?;
            if let Some(object) = value.as_object_mut() {
                object.insert("running".to_owned(), true.into());
                object
                    .insert("attached".to_owned(), attached.iter().map(instance::value).collect());
            }
            let instances = value.get_mut("instances").and_then(serde_json::Value::as_array_mut);
            for (instance, running) in instances.into_iter().flatten().zip(&running) {
                if let Some(object) = instance.as_object_mut() {
                    object.insert("running".to_owned(), (*running).into());
                }
            }
            output::json(&value)?;
        }
        Format::Text => {
            output::line(&server_table(&state, &running))?;
            if !attached.is_empty() {
                output::line(&format!(
                    "\nattached servers (verifier socket {}):\n{}",
                    state.socket.display(),
                    instance::table(&attached)
                ))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Formats the servers as a table.
pub(super) fn server_table(state: &State, running: &[bool]) -> String {
    let heading = ["INSTANCE", "VERSION", "ADDRESS", "RESOURCE ID", "AUTHENTICATION"]
        .map(str::to_owned)
        .to_vec();
    let rows = state.instances.iter().enumerate().map(|(at, instance)| {
        let method = match &instance.reason {
            Some(why) => format!("{} ({why})", instance.authentication.as_str()),
            None => instance.authentication.as_str().to_owned(),
        };
        let stopped = if running.get(at) == Some(&false) { "STOPPED, " } else { "" };
        let address = format!("{}:{}", instance.host, instance.port);
        let version = format!("{} {}", instance.engine, instance.version);
        vec![
            instance.instance.to_string(),
            version,
            address,
            instance.resource_id.to_string(),
            format!("{stopped}{method}"),
        ]
    });
    let table = output::columns(&std::iter::once(heading).chain(rows).collect::<Vec<_>>());
    let skipped = state
        .skipped
        .iter()
        .map(|left| format!("\nskipped: {}: {}", left.instance, left.reason))
        .collect::<String>();
    let allowed = if state.allowed_users.is_empty() {
        String::new()
    } else {
        format!("\nallowed system users: {}", state.allowed_users.join(", "))
    };
    format!(
        "{table}{skipped}{allowed}\naccount {}, region {}, CA {}",
        state.account,
        state.region,
        state.ca.display()
    )
}
