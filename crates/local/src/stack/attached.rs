//! Servers that somebody else runs, and that ask the stack's verifier: known to the authority, and to nothing else here.
//!
//! They lie beside the stack's own in the authority's store. Its own have a directory, from before they are registered until
//! everything is wiped; these have none.

use countersign_authority::model::{Address, Instance};
use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId, ResourceId};

use crate::state::State;
use crate::{Layout, LocalError};

/// A server to be attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its name: what it calls itself when it asks.
    pub name: InstanceId,
    /// Its kind.
    pub engine: Engine,
    /// Each host that clients name it by: tokens are signed for one of them.
    pub hosts: Vec<HostName>,
    /// Its port.
    pub port: u16,
}

/// All that are attached, by name.
pub(crate) fn list(layout: &Layout, store: &Store) -> Result<Vec<Instance>, LocalError> {
    let own = layout.instances()?;
    let mut found = Vec::new();
    for name in store.instance_names()?.into_iter().filter(|name| !own.contains(name)) {
        found.extend(store.instance(&name)?.map(|instance| Instance::clone(&instance)));
    }
    Ok(found)
}

/// Registers a server: under its old resource id where it was attached already, since policies name it by that.
pub(crate) fn add(
    layout: &Layout,
    store: &Store,
    state: &State,
    server: &Attached,
) -> Result<ResourceId, LocalError> {
    refuse_own(layout, &server.name)?;
    let known = store.instance(&server.name)?;
    let resource_id =
        known.map_or_else(Store::new_resource_id, |instance| Ok(instance.resource_id.clone()))?;
    let address =
        |host: &HostName| Address { host: host.clone(), port: server.port, resource_id: None };
    store.put_instance(&Instance {
        name: server.name.clone(),
        account: state.account.clone(),
        resource_id: resource_id.clone(),
        engine: server.engine,
        region: state.region.clone(),
        iam_enabled: true,
        addresses: server.hosts.iter().map(address).collect(),
    })?;
    Ok(resource_id)
}

/// Forgets a server: nobody is let in there, and its name is free.
pub(crate) fn remove(layout: &Layout, store: &Store, name: &InstanceId) -> Result<(), LocalError> {
    refuse_own(layout, name)?;
    if store.delete_instance(name)? {
        return Ok(());
    }
    Err(LocalError::Unusable(format!(
        "no server {name} is attached: see `countersign local instance list`"
    )))
}

/// Refuses to start a server under the name of one that is attached: it would take over what policies let people do there.
pub(crate) fn check_names<'a>(
    layout: &Layout,
    mut wanted: impl Iterator<Item = &'a InstanceId>,
) -> Result<(), LocalError> {
    let attached = list(layout, &Store::open(&state_directory(&layout.authority()))?)?;
    match wanted.find(|name| attached.iter().any(|instance| instance.name == **name)) {
        None => Ok(()),
        Some(name) => Err(LocalError::Unusable(format!(
            "{name} is the name of a server that is attached: `countersign local instance remove {name}` frees it"
        ))),
    }
}

fn refuse_own(layout: &Layout, name: &InstanceId) -> Result<(), LocalError> {
    if !layout.instances()?.contains(name) {
        return Ok(());
    }
    Err(LocalError::Unusable(format!(
        "{name} is one of the stack's own servers, which `countersign local up` registers"
    )))
}

#[cfg(test)]
mod tests;
