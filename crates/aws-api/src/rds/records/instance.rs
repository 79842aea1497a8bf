//! Records of instances.

use std::sync::Arc;

use countersign_authority::model::{DbCluster, DbInstance, DbStatus, Endpoint, Instance};
use countersign_authority::store::{Draft, State, regional_key};
use countersign_core::name::InstanceId;

use crate::error::ApiError;
use crate::rds::request::{bad_combination, error};

/// Name of IAM authentication in `PendingModifiedValues`.
pub(crate) const IAM: &str = "IAMDatabaseAuthenticationEnabled";

/// Returns the endpoint of an instance. The port is the verifier's, since a server may get another
/// port when it starts again.
pub(crate) fn endpoint_of(db: &DbInstance, instance: Option<&Instance>) -> Option<Endpoint> {
    let Endpoint { host, port } = db.endpoint.as_ref()?;
    let own = instance.and_then(|instance| {
        instance.addresses.iter().find(|address| address.resource_id.is_none())
    });
    Some(Endpoint { host: host.clone(), port: own.map_or(*port, |address| address.port) })
}

pub(crate) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBInstanceNotFound", 404, &format!("DBInstance {name} not found."))
}

pub(crate) fn invalid_state(message: impl AsRef<str>) -> ApiError {
    error("InvalidDBInstanceState", message)
}

/// Returns the record of an instance, which may have been removed since the request arrived.
pub(crate) fn record(state: &State, name: &InstanceId) -> Result<DbInstance, ApiError> {
    state
        .db_instances
        .get(name.as_str())
        .map(|db| DbInstance::clone(db))
        .ok_or_else(|| not_found(name.as_str()))
}

/// Returns the cluster of an instance.
pub(crate) fn cluster_of<'a>(state: &'a State, db: &DbInstance) -> Option<&'a Arc<DbCluster>> {
    state.db_clusters.get(&regional_key(&db.account, &db.region, db.cluster.as_deref()?))
}

/// Sets the transitional status of an instance that is in one of the statuses `from`.
pub(crate) fn begin_transition(
    draft: &mut Draft,
    runner: &str,
    name: &InstanceId,
    from: &[DbStatus],
    transition: DbStatus,
) -> Result<(), ApiError> {
    let db = record(draft, name)?;
    check_state(&db, runner, from)?;
    if transition == DbStatus::Deleting {
        check_deletable(draft, &db)?;
        // Logins are denied from now on.
        draft.remove::<Instance>(name.as_str());
    }
    draft.put(DbInstance { status: transition, reason: None, ..db })?;
    Ok(())
}

/// Returns an error unless this authority runs the server and its status is one of `from`.
pub(crate) fn check_state(
    db: &DbInstance,
    runner: &str,
    from: &[DbStatus],
) -> Result<(), ApiError> {
    if db.runner != runner {
        return Err(invalid_state(format!(
            "The server of {} is run by the authority {}: send the request there.",
            db.name, db.runner
        )));
    }
    if !from.contains(&db.status) {
        let from: Vec<&str> = from.iter().map(|status| status.as_str()).collect();
        return Err(invalid_state(format!(
            "Instance {} is not in {} state: it is {}.",
            db.name,
            from.join(" or "),
            db.status.as_str()
        )));
    }
    Ok(())
}

fn check_deletable(state: &State, db: &DbInstance) -> Result<(), ApiError> {
    if db.deletion_protection {
        return Err(bad_combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try \
             again.",
        ));
    }
    let Some(cluster) = cluster_of(state, db) else {
        return Ok(());
    };
    let is_other_member = |other: &Arc<DbInstance>| {
        other.cluster == db.cluster
            && other.name != db.name
            && other.account == db.account
            && other.region == db.region
    };
    if cluster.writer.as_ref() == Some(&db.name) && state.db_instances.values().any(is_other_member)
    {
        return Err(invalid_state(format!(
            "{} is the writer of {}, whose readers follow it: delete them first.",
            db.name, cluster.name
        )));
    }
    Ok(())
}

/// Enables or disables IAM authentication, effective for the next login.
pub(crate) fn set_iam_enabled(
    draft: &mut Draft,
    name: &str,
    enabled: bool,
) -> Result<(), ApiError> {
    if let Some(instance) = draft.instances.get(name) {
        let changed = Instance { iam_enabled: enabled, ..Instance::clone(instance) };
        draft.put(changed)?;
    }
    Ok(())
}
