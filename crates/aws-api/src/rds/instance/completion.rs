//! What has come of the work on an instance: all of it is written in one change.

use std::fmt::Display;

use countersign_core::name::{Engine, InstanceId};

use super::cluster_of;
use crate::rds::cluster::change::remove_when_empty;
use crate::rds::job_runner::JobRunner;
use crate::rds::proxy;
use countersign_authority::model::{Address, DbCluster, DbInstance, DbStatus, Endpoint, Instance};
use countersign_authority::servers::RunningServer;
use countersign_authority::store::{Draft, StoreError, regional_key};

/// A server runs: its instance is available, and the verifier knows it.
pub(crate) fn came_up(runner: &JobRunner, name: &InstanceId, running: &RunningServer) {
    settle(runner, name, |draft, db| {
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
        draft.put(proxy::reached_through(draft, instance))?;
        db.pending.remove("MasterUserPassword");
        (db.status, db.reason, db.version) = (DbStatus::Available, None, running.version.clone());
        db.endpoint = Some(Endpoint { host: running.host.clone(), port: running.port });
        Ok(())
    });
}

/// The work is done, or it has failed and left the instance so.
pub(crate) fn left(
    runner: &JobRunner,
    name: &InstanceId,
    status: DbStatus,
    failed: Option<&dyn Display>,
) {
    if let Some(reason) = failed {
        tracing::error!(instance = %name, status = status.as_str(), %reason, "the work on a server failed");
    }
    let reason = failed.map(ToString::to_string);
    settle(runner, name, |_, db| {
        (db.status, db.reason) = (status, reason.clone());
        db.pending.remove("MasterUserPassword");
        Ok(())
    });
}

/// The server has gone with its data, and the instance goes too: from its cluster, its endpoints and its proxies.
pub(crate) fn gone(runner: &JobRunner, name: &InstanceId) {
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
        proxy::forget(draft, |proxy| proxy.instance.as_ref() == Some(name))?;
        Ok::<_, StoreError>(())
    });
    // The next instance of the name may be another account's.
    let forgotten = runner.log().remove_denials(name).map_err(|error| error.to_string());
    if let Err(error) = changed.map_err(|error| error.to_string()).and(forgotten) {
        tracing::error!(instance = %name, %error, "a server has gone, but not all that is known of it");
    }
}

/// Changes the record of an instance, if it is still there, and the status of its cluster with it.
fn settle(
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
        settle_cluster(draft, &db)
    });
    if let Err(error) = changed {
        // The record stays as it is, and the next start of the authority goes on with it.
        tracing::error!(instance = %name, %error, "what has come of a server can't be written");
    }
}

/// A cluster that starts or stops has done so when its last member has.
fn settle_cluster(draft: &mut Draft, db: &DbInstance) -> Result<(), StoreError> {
    let Some(cluster) = cluster_of(draft, db)
        .filter(|cluster| matches!(cluster.status, DbStatus::Starting | DbStatus::Stopping))
    else {
        return Ok(());
    };
    let id = regional_key(&cluster.account, &cluster.region, &cluster.name);
    let of_cluster = |other: &&std::sync::Arc<DbInstance>| {
        other
            .cluster
            .as_deref()
            .is_some_and(|name| regional_key(&other.account, &other.region, name) == id)
    };
    if draft.db_instances.values().filter(of_cluster).any(|member| member.status.is_transitional())
    {
        return Ok(());
    }
    let status =
        if cluster.status == DbStatus::Starting { DbStatus::Available } else { DbStatus::Stopped };
    let changed = DbCluster { status, ..DbCluster::clone(cluster) };
    draft.put(changed).map(drop)
}
