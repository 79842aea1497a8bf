//! Database servers outside of the stack that use its verifier.
//!
//! Their records lie beside those of the stack's own servers in the authority's store. The stack's
//! own servers have a directory, from before they are registered until the stack is wiped;
//! attached servers have none.

use countersign_authority::model::{Address, Instance};
use countersign_authority::store::Store;
use countersign_aws_api::server::state_directory;
use countersign_core::endpoint::HostName;
use countersign_core::name::{Engine, InstanceId, ResourceId};

use crate::state::State;
use crate::{Layout, LocalError};

/// A server to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Instance name that the server sends to the verifier.
    pub name: InstanceId,
    /// Database engine.
    pub engine: Engine,
    /// Hosts by which clients reach it: a token is signed for one of them.
    pub hosts: Vec<HostName>,
    /// Port.
    pub port: u16,
}

/// Returns all attached servers, ordered by name.
pub(crate) fn list(layout: &Layout, store: &Store) -> Result<Vec<Instance>, LocalError> {
    let own = layout.instances()?;
    let mut found = Vec::new();
    for name in store.instance_names()?.into_iter().filter(|name| !own.contains(name)) {
        found.extend(store.instance(&name)?.map(|instance| Instance::clone(&instance)));
    }
    Ok(found)
}

/// Registers a server. A known server keeps its resource id, which policies refer to.
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

/// Removes a server: logins there are denied, and its name is free.
pub(crate) fn remove(layout: &Layout, store: &Store, name: &InstanceId) -> Result<(), LocalError> {
    refuse_own(layout, name)?;
    if store.delete_instance(name)? {
        return Ok(());
    }
    Err(LocalError::Unusable(format!(
        "cannot remove {name}: no such attached server; see `countersign local instance list`"
    )))
}

/// Refuses to start a server under the name of an attached one, whose policies it would inherit.
pub(crate) fn check_names<'a>(
    layout: &Layout,
    mut wanted: impl Iterator<Item = &'a InstanceId>,
) -> Result<(), LocalError> {
    let attached = list(layout, &Store::open(&state_directory(&layout.authority()))?)?;
    match wanted.find(|name| attached.iter().any(|instance| instance.name == **name)) {
        None => Ok(()),
        Some(name) => Err(LocalError::Unusable(format!(
            "cannot start {name}: an attached server has that name; free it with `countersign \
             local instance remove {name}`"
        ))),
    }
}

fn refuse_own(layout: &Layout, name: &InstanceId) -> Result<(), LocalError> {
    if !layout.instances()?.contains(name) {
        return Ok(());
    }
    Err(LocalError::Unusable(format!(
        "cannot change {name}: it is one of the stack's own servers, which `countersign local up` \
         registers"
    )))
}

#[cfg(test)]
mod tests;
