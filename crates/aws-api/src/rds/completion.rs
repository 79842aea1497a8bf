//! Results of jobs: each is written to the store in one change.

use std::fmt::Display;
use std::sync::Arc;

use countersign_authority::model::{Address, DbCluster, DbInstance, DbStatus, Endpoint, Instance};
use countersign_authority::servers::RunningServer;
use countersign_authority::store::{Draft, StoreError, regional_key};
use countersign_core::name::{Engine, InstanceId};

use super::job_runner::JobRunner;
use super::records::cluster::remove_when_empty;
use super::records::instance::cluster_of;
use super::records::proxy::{deregister_target, with_proxy_addresses};

/// Records that a server runs: its instance is available, and the verifier decides about it.
pub(crate) fn mark_available(runner: &JobRunner, name: &InstanceId, running: &RunningServer) {
    update(runner, name, |draft, db| {
        let engine = db.engine.parse::<Engine>()?;
        let cluster = cluster_of(draft, db).cloned();
        let known = draft.instances.get(name.as_str()).cloned();
        let addresses = running.hosts.iter().map(|host| Address {
            host: host.clone(),
            port: running.port,
            resource_id: None,
        });
        let iam_enabled = known.map_or(db.iam_enabled, |known| known.iam_enabled);
        let instance = Instance {
            name: db.name.clone(),
            account: db.account.clone(),
            resource_id: cluster
                .as_ref()
                .map_or_else(|| db.resource_id.clone(), |cluster| cluster.resource_id.clone()),
            engine,
            region: db.region.clone(),
            iam_enabled: cluster.as_ref().map_or(iam_enabled, |cluster| cluster.iam_enabled),
            addresses: addresses.collect(),
        };
        draft.put(with_proxy_addresses(draft, instance))?;
        db.pending.remove("MasterUserPassword");
        (db.status, db.reason, db.version) = (DbStatus::Available, None, running.version.clone());
        db.endpoint = Some(Endpoint { host: running.host.clone(), port: running.port });
        Ok(())
    });
}

/// Records the status of an instance after a job, and the reason if the job failed.
pub(crate) fn set_status(
    runner: &JobRunner,
    name: &InstanceId,
    status: DbStatus,
    reason: Option<&dyn Display>,
) {
    if let Some(reason) = reason {
        tracing::error!(instance = %name, status = status.as_str(), %reason, "job failed");
    }
    let reason = reason.map(ToString::to_string);
    update(runner, name, |_, db| {
        (db.status, db.reason) = (status, reason.clone());
        db.pending.remove("MasterUserPassword");
        Ok(())
    });
}

/// Removes an instance whose server and data are deleted: from the store, its cluster, custom
/// endpoints and proxies.
pub(crate) fn remove(runner: &JobRunner, name: &InstanceId) {
    let changed = runner.store().change(|draft| {
        let Some(db) = draft.db_instances.get(name.as_str()).cloned() else {
            return Ok(());
        };
        draft.remove::<Instance>(name.as_str());
        draft.remove::<DbInstance>(name.as_str());
        if let Some(cluster) = cluster_of(draft, &db) {
            let mut cluster = DbCluster::clone(cluster);
            cluster.writer = cluster.writer.filter(|writer| writer != name);
            for endpoint in cluster.endpoints.values_mut() {
                endpoint.members.remove(name);
                endpoint.excluded.remove(name);
            }
            let cluster = draft.put(cluster)?;
            remove_when_empty(draft, &cluster)?;
        }
        deregister_target(draft, |proxy| proxy.instance.as_ref() == Some(name))?;
        Ok::<_, StoreError>(())
    });
    // The next instance of this name may belong to another account.
    let removed = runner.log().remove_denials(name).map_err(|error| error.to_string());
    if let Err(error) = changed.map_err(|error| error.to_string()).and(removed) {
        tracing::error!(instance = %name, %error, "cannot remove all records of a deleted server");
    }
}

/// Changes the record of an instance, if it still exists, and its cluster's status with it.
fn update(
    runner: &JobRunner,
    name: &InstanceId,
    mut change: impl FnMut(&mut Draft, &mut DbInstance) -> Result<(), StoreError>,
) {
    let changed = runner.store().change(|draft| {
        let Some(db) = draft.db_instances.get(name.as_str()) else {
            return Ok(());
        };
        let mut db = DbInstance::clone(db);
        change(draft, &mut db)?;
        let db = draft.put(db)?;
        update_cluster(draft, &db)
    });
    if let Err(error) = changed {
        // The record stays in its transitional status; recovery resumes it at the next start.
        tracing::error!(instance = %name, %error, "cannot write the result of a job");
    }
}

/// Ends the transition of a cluster after that of its last member.
fn update_cluster(draft: &mut Draft, db: &DbInstance) -> Result<(), StoreError> {
    let Some(cluster) = cluster_of(draft, db)
        .filter(|cluster| matches!(cluster.status, DbStatus::Starting | DbStatus::Stopping))
    else {
        return Ok(());
    };
    let key = regional_key(&cluster.account, &cluster.region, &cluster.name);
    let is_member = |other: &&Arc<DbInstance>| {
        other
            .cluster
            .as_deref()
            .is_some_and(|name| regional_key(&other.account, &other.region, name) == key)
    };
    let mut members = draft.db_instances.values().filter(is_member);
    if members.any(|member| member.status.is_transitional()) {
        return Ok(());
    }
    let status =
        if cluster.status == DbStatus::Starting { DbStatus::Available } else { DbStatus::Stopped };
    let changed = DbCluster { status, ..DbCluster::clone(cluster) };
    draft.put(changed).map(drop)
}
