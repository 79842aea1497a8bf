//! Records of proxies.

use std::sync::Arc;

use countersign_authority::model::{Address, DbProxy, Endpoint, Instance};
use countersign_authority::store::{Draft, State, StoreError, regional_key};
use countersign_core::name::{InstanceId, ResourceId};

use super::instance::endpoint_of;
use crate::error::ApiError;
use crate::rds::request::AccountRegion;

pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBProxyNotFoundFault", 404, &format!("DBProxy {name} not found."))
}

pub(crate) fn record(
    state: &State,
    scope: &AccountRegion,
    name: &str,
) -> Result<DbProxy, ApiError> {
    let proxy = state.db_proxies.get(&regional_key(&scope.account, &scope.region, name));
    proxy.map(|proxy| DbProxy::clone(proxy)).ok_or_else(|| not_found(name))
}

/// Returns the proxies of an account in a region.
pub(crate) fn all<'a>(
    state: &'a State,
    scope: &'a AccountRegion,
) -> impl Iterator<Item = &'a Arc<DbProxy>> {
    state.of_account::<DbProxy>(scope.account.as_str()).filter(|proxy| proxy.region == scope.region)
}

/// Returns the instance that a proxy forwards to: its target, or its target cluster's writer.
fn target_instance(state: &State, proxy: &DbProxy) -> Option<InstanceId> {
    let writer = || {
        state
            .db_clusters
            .get(&regional_key(&proxy.account, &proxy.region, proxy.cluster.as_ref()?))?
            .writer
            .clone()
    };
    proxy.instance.clone().or_else(writer)
}

/// Returns the endpoint that a proxy forwards to.
pub(crate) fn target_endpoint(state: &State, id: &ResourceId) -> Option<Endpoint> {
    let proxy = state.db_proxies.values().find(|proxy| proxy.resource_id == *id)?;
    let instance = state.instances.get(target_instance(state, proxy)?.as_str())?;
    match state.db_instances.get(instance.name.as_str()) {
        Some(db) => endpoint_of(db, Some(instance)),
        None => own_addresses(instance)
            .next()
            .map(|own| Endpoint { host: own.host.clone(), port: own.port }),
    }
}

fn own_addresses(instance: &Instance) -> impl Iterator<Item = &Address> {
    instance.addresses.iter().filter(|address| address.resource_id.is_none())
}

/// Returns an instance with the addresses of its proxies: the resource of a token for one of those
/// is the proxy.
pub(crate) fn with_proxy_addresses(state: &State, instance: Instance) -> Instance {
    let own: Vec<Address> = own_addresses(&instance).cloned().collect();
    let forwards_tokens = |proxy: &&Arc<DbProxy>| {
        proxy.accepts_tokens() && target_instance(state, proxy).as_ref() == Some(&instance.name)
    };
    let addresses = |proxy: &Arc<DbProxy>| {
        let (port, resource_id) = (proxy.port, Some(proxy.resource_id.clone()));
        own.iter()
            .map(|own| Address { host: own.host.clone(), port, resource_id: resource_id.clone() })
            .collect::<Vec<_>>()
    };
    let proxies: Vec<Address> =
        state.db_proxies.values().filter(forwards_tokens).flat_map(addresses).collect();
    Instance { addresses: own.into_iter().chain(proxies).collect(), ..instance }
}

/// Updates the addresses of a proxy's target after a change of the proxy. `proxy` holds the target
/// before a deregistration.
pub(crate) fn update_target_addresses(
    draft: &mut Draft,
    proxy: &DbProxy,
) -> Result<(), StoreError> {
    let target =
        target_instance(draft, proxy).and_then(|name| draft.instances.get(name.as_str()).cloned());
    if let Some(instance) = target {
        let instance = with_proxy_addresses(draft, Instance::clone(&instance));
        draft.put(instance)?;
    }
    Ok(())
}

/// Removes a deleted target from its proxies.
pub(crate) fn deregister_target(
    draft: &mut Draft,
    mut is_target_of: impl FnMut(&DbProxy) -> bool,
) -> Result<(), StoreError> {
    let proxies: Vec<DbProxy> = draft
        .db_proxies
        .values()
        .filter(|proxy| is_target_of(proxy))
        .map(|proxy| DbProxy::clone(proxy))
        .collect();
    proxies.into_iter().try_for_each(|proxy| {
        draft.put(DbProxy { instance: None, cluster: None, ..proxy }).map(drop)
    })
}
