//! Records of clusters and their custom endpoints.

use std::sync::Arc;

use countersign_authority::model::{
    CustomEndpoint, DbCluster, DbInstance, DbStatus, Endpoint, SecretRecord,
};
use countersign_authority::store::{Draft, State, StoreError, regional_key};

use super::instance::endpoint_of;
use super::proxy::deregister_target;
use crate::error::ApiError;
use crate::rds::request::{AccountRegion, error};

pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBClusterNotFoundFault", 404, &format!("DBCluster {name} not found."))
}

pub(crate) fn wrong_state(cluster: &DbCluster) -> ApiError {
    let status = cluster.status.as_str();
    error("InvalidDBClusterStateFault", format!("DbCluster {} is in {status} state", cluster.name))
}

/// Returns the cluster of a name, in any case, or of an ARN.
pub(crate) fn look_up(
    state: &State,
    scope: &AccountRegion,
    name_or_arn: &str,
) -> Result<Arc<DbCluster>, ApiError> {
    let name = scope.name_of("cluster", name_or_arn);
    state
        .db_clusters
        .get(&regional_key(&scope.account, &scope.region, name))
        .cloned()
        .ok_or_else(|| not_found(name))
}

/// Returns the record of a cluster.
pub(crate) fn record(
    state: &State,
    scope: &AccountRegion,
    name: &str,
) -> Result<DbCluster, ApiError> {
    let cluster = state.db_clusters.get(&regional_key(&scope.account, &scope.region, name));
    cluster.map(|cluster| DbCluster::clone(cluster)).ok_or_else(|| not_found(name))
}

/// Name of the master user's password in the store; it is kept for the first instance.
pub(crate) fn password_name(cluster: &DbCluster) -> String {
    format!("rds/{}/master-password", cluster.resource_id)
}

/// Returns the members in the order of their names.
pub(crate) fn members<'a>(
    state: &'a State,
    cluster: &'a DbCluster,
) -> impl Iterator<Item = &'a Arc<DbInstance>> {
    let is_member = |db: &&Arc<DbInstance>| {
        db.cluster.as_ref() == Some(&cluster.name)
            && db.account == cluster.account
            && db.region == cluster.region
    };
    state.db_instances.values().filter(is_member)
}

/// Returns the clusters of an account in a region.
pub(crate) fn all<'a>(
    state: &'a State,
    scope: &'a AccountRegion,
) -> impl Iterator<Item = &'a Arc<DbCluster>> {
    state
        .of_account::<DbCluster>(scope.account.as_str())
        .filter(|cluster| cluster.region == scope.region)
}

/// Returns the endpoint of a member that has been available.
fn member_endpoint(state: &State, db: &DbInstance) -> Option<Endpoint> {
    endpoint_of(db, state.instances.get(db.name.as_str()).map(|instance| &**instance))
}

/// Returns the endpoint of the writer.
pub(crate) fn writer_endpoint(state: &State, cluster: &DbCluster) -> Option<Endpoint> {
    member_endpoint(state, state.db_instances.get(cluster.writer.as_ref()?.as_str())?)
}

/// Returns the endpoint of the first available reader, else the writer's.
pub(crate) fn reader_endpoint(state: &State, cluster: &DbCluster) -> Option<Endpoint> {
    let is_reader = |db: &&Arc<DbInstance>| {
        Some(&db.name) != cluster.writer.as_ref() && db.status == DbStatus::Available
    };
    members(state, cluster)
        .find(is_reader)
        .and_then(|db| member_endpoint(state, db))
        .or_else(|| writer_endpoint(state, cluster))
}

/// Returns the endpoint of the first available member of a custom endpoint.
pub(crate) fn custom_endpoint(
    state: &State,
    cluster: &DbCluster,
    custom: &CustomEndpoint,
) -> Option<Endpoint> {
    let is_target = |db: &&Arc<DbInstance>| {
        let is_listed = if custom.members.is_empty() {
            !custom.excluded.contains(&db.name)
        } else {
            custom.members.contains(&db.name)
        };
        is_listed
            && (custom.any || Some(&db.name) != cluster.writer.as_ref())
            && db.status == DbStatus::Available
    };
    members(state, cluster).find(is_target).and_then(|db| member_endpoint(state, db))
}

/// Removes a cluster that is being deleted, after its last member.
pub(crate) fn remove_when_empty(draft: &mut Draft, cluster: &DbCluster) -> Result<(), StoreError> {
    if cluster.status != DbStatus::Deleting || members(draft, cluster).next().is_some() {
        return Ok(());
    }
    deregister_target(draft, |proxy| {
        proxy.cluster.as_ref() == Some(&cluster.name)
            && proxy.account == cluster.account
            && proxy.region == cluster.region
    })?;
    draft.remove::<SecretRecord>(&password_name(cluster));
    draft.remove::<DbCluster>(&regional_key(&cluster.account, &cluster.region, &cluster.name));
    Ok(())
}
