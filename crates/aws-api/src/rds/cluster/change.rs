//! Making, changing, starting, stopping and deleting clusters.

use countersign_core::credentials::Secret;
use countersign_core::name::InstanceId;
use zeroize::Zeroizing;

use super::{allowed, answer, look_up, members, not_found, password_name, said, wrong_state};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::instance::change::{IAM, switch_iam};
use crate::rds::instance::create::refuse_rename;
use crate::rds::instance::lifecycle::{check_state, finish, refuse_snapshot};
use crate::rds::job_runner::JobRunner;
use crate::rds::request::{
    AccountRegion, Facts, allow_new, bad_combination, database_name, engine, error, log_types,
    master_name, master_password, new_name, port, required, resource_id, settings, tags,
};
use crate::rds::{certificate, proxy, versions};
use countersign_authority::model::{DbCluster, DbInstance, DbStatus, SecretRecord, seconds};
use countersign_authority::store::{Draft, StoreError, regional_key};

/// The most clusters of an account in a region. Source: "Quotas and constraints for Amazon RDS" in the RDS user guide.
const MAX_CLUSTERS: usize = 40;

/// `CreateDBCluster`: it is there at once, and has no server before its first instance.
pub(crate) fn create(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let name = new_name("DBClusterIdentifier", required(call, "DBClusterIdentifier")?)?;
    let engine_name = required(call, "Engine")?;
    let engine = engine(engine_name)?;
    if engine_name == "mariadb" {
        return Err(bad_combination("There are no clusters of mariadb."));
    }
    let tags = tags(call.parameters)?;
    let facts = Facts {
        gives: Some(&tags),
        more: vec![("rds:DatabaseEngine", engine_name.to_owned())],
        ..Facts::default()
    };
    allow_new(call, "CreateDBCluster", &place.arn("cluster", name.as_str()), &facts)?;
    call.api.jobs.servers()?;
    certificate::check(call)?;
    let password = master_password(engine, required(call, "MasterUserPassword")?)?;
    let cluster = DbCluster {
        name: name.to_string(),
        account: place.account.clone(),
        region: place.region.clone(),
        resource_id: resource_id("cluster-")?,
        engine: engine_name.to_owned(),
        version: versions::fitting(call, engine_name, call.parameters.text("EngineVersion"))?,
        status: DbStatus::Available,
        created: seconds(call.now),
        master: master_name(engine, required(call, "MasterUsername")?)?,
        database: call
            .parameters
            .text("DatabaseName")
            .map(|name| database_name("DatabaseName", name))
            .transpose()?,
        port: port(call, "Port")?,
        iam_enabled: call.parameters.flag("EnableIAMDatabaseAuthentication")?.unwrap_or(false),
        pending: Default::default(),
        writer: None,
        deletion_protection: call.parameters.flag("DeletionProtection")?.unwrap_or(false),
        exports: log_types(engine, &call.parameters.list("EnableCloudwatchLogsExports"))?
            .into_iter()
            .collect(),
        settings: settings(call)?,
        endpoints: Default::default(),
        tags,
    };
    call.api.store().change(|draft| {
        if draft.db_clusters.contains_key(&regional_key(
            &place.account,
            &place.region,
            name.as_str(),
        )) {
            return Err(error(
                "DBClusterAlreadyExistsFault",
                format!("DB Cluster {name} already exists"),
            ));
        }
        if super::all(draft, &place).count() >= MAX_CLUSTERS {
            let message =
                format!("Cannot create more than {MAX_CLUSTERS} DB clusters in a region.");
            return Err(ApiError::new("DBClusterQuotaExceededFault", 403, &message));
        }
        keep_password(draft, &cluster, &password, cluster.created)?;
        Ok(draft.put(cluster.clone()).map(drop)?)
    })?;
    answer(call, name.as_str())
}

fn keep_password(
    draft: &mut Draft,
    cluster: &DbCluster,
    password: &Secret,
    created: u64,
) -> Result<(), StoreError> {
    let text = Zeroizing::new(password.expose().to_owned());
    draft.put(SecretRecord { name: password_name(cluster), text, created }).map(drop)
}

/// `ModifyDBCluster`
pub(crate) fn modify(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (place, found) = (
        AccountRegion::of(call)?,
        allowed(call, "ModifyDBCluster", required(call, "DBClusterIdentifier")?)?,
    );
    refuse_rename(call, "NewDBClusterIdentifier")?;
    let engine = engine(&found.engine)?;
    let settings = settings(call)?;
    let (now, iam) = (
        call.parameters.flag("ApplyImmediately")?.unwrap_or(false),
        call.parameters.flag("EnableIAMDatabaseAuthentication")?,
    );
    let protection = call.parameters.flag("DeletionProtection")?;
    let exports = |list: &str| {
        log_types(
            engine,
            &call.parameters.list(&format!("CloudwatchLogsExportConfiguration.{list}")),
        )
    };
    let (enable, disable) = (exports("EnableLogTypes")?, exports("DisableLogTypes")?);
    let password = call
        .parameters
        .text("MasterUserPassword")
        .map(|password| master_password(engine, password))
        .transpose()?;
    let runner = &call.api.jobs;
    let permit = password.as_ref().map(|_| runner.permit()).transpose()?;
    let writer = runner.store().change(|draft| {
        let mut cluster = DbCluster::clone(&*look_up(draft, &place, &found.name)?);
        if !matches!(cluster.status, DbStatus::Available | DbStatus::Stopped) {
            return Err(wrong_state(&cluster));
        }
        cluster.settings.extend(settings.clone());
        cluster.deletion_protection = protection.unwrap_or(cluster.deletion_protection);
        cluster.exports.extend(enable.iter().cloned());
        cluster.exports.retain(|name| !disable.contains(name));
        if let Some(enabled) = iam {
            cluster.pending.insert(IAM.to_owned(), enabled.to_string());
        }
        apply_iam(draft, &mut cluster, now)?;
        let mut writer = None;
        if let Some(password) = &password {
            writer = begin_password(draft, runner.name(), &cluster)?;
            keep_password(draft, &cluster, password, seconds(call.now))?;
        }
        draft.put(cluster)?;
        Ok(writer)
    })?;
    if let (Some(permit), Some(writer), Some(password)) = (permit, writer, password) {
        let user = found.master.clone();
        JobRunner::work(permit, "password", move |runner, servers| {
            let failed = servers.set_master_password(&writer, &user, &password).err();
            let failed = failed.as_ref().map(|error| error as &dyn std::fmt::Display);
            crate::rds::instance::completion::left(runner, &writer, DbStatus::Available, failed);
        });
    }
    answer(call, &found.name)
}

/// Switches IAM authentication for every member, at once or at the next request with `ApplyImmediately`.
fn apply_iam(draft: &mut Draft, cluster: &mut DbCluster, now: bool) -> Result<(), ApiError> {
    let Some(wanted) = cluster.pending.get(IAM).map(|value| value == "true") else {
        return Ok(());
    };
    if now {
        let names: Vec<InstanceId> = members(draft, cluster).map(|db| db.name.clone()).collect();
        for name in names {
            switch_iam(draft, name.as_str(), wanted)?;
        }
        cluster.iam_enabled = wanted;
    }
    if now || cluster.iam_enabled == wanted {
        cluster.pending.remove(IAM);
    }
    Ok(())
}

/// The writer, which gets another password; none where the cluster has none yet.
fn begin_password(
    draft: &mut Draft,
    runner: &str,
    cluster: &DbCluster,
) -> Result<Option<InstanceId>, ApiError> {
    let Some(writer) =
        cluster.writer.as_ref().and_then(|writer| draft.db_instances.get(writer.as_str()))
    else {
        return Ok(None);
    };
    check_state(writer, runner, &[DbStatus::Available])?;
    let writer = DbInstance { status: DbStatus::Modifying, ..DbInstance::clone(writer) };
    Ok(Some(draft.put(writer)?.name.clone()))
}

/// `StartDBCluster`
pub(crate) fn start(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    bring(call, "StartDBCluster", DbStatus::Stopped, DbStatus::Starting)
}

/// `StopDBCluster`
pub(crate) fn stop(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    bring(call, "StopDBCluster", DbStatus::Available, DbStatus::Stopping)
}

/// Brings every member of a cluster into another state, one after the other.
fn bring(
    call: &RequestContext<'_>,
    action: &str,
    from: DbStatus,
    passing: DbStatus,
) -> Result<ActionOutput, ApiError> {
    let (place, found) =
        (AccountRegion::of(call)?, allowed(call, action, required(call, "DBClusterIdentifier")?)?);
    let runner = &call.api.jobs;
    let permit = runner.permit()?;
    let names = runner.store().change(|draft| {
        let cluster = look_up(draft, &place, &found.name)?;
        if cluster.status != from {
            return Err(wrong_state(&cluster));
        }
        let members: Vec<DbInstance> =
            members(draft, &cluster).map(|db| DbInstance::clone(db)).collect();
        if members.is_empty() {
            return Err(error(
                "InvalidDBClusterStateFault",
                format!("DbCluster {} has no instances.", cluster.name),
            ));
        }
        let mut names = Vec::new();
        for db in members {
            check_state(&db, runner.name(), &[from, DbStatus::Failed])?;
            if db.status == from {
                names.push(db.name.clone());
                draft.put(DbInstance { status: passing, reason: None, ..db })?;
            }
        }
        draft.put(DbCluster { status: passing, ..DbCluster::clone(&cluster) })?;
        Ok::<_, ApiError>(names)
    })?;
    JobRunner::work(permit, passing.as_str(), move |runner, servers| {
        names.iter().for_each(|name| finish(runner, servers, name, passing))
    });
    answer(call, &found.name)
}

/// `DeleteDBCluster`
pub(crate) fn delete(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (place, found) = (
        AccountRegion::of(call)?,
        allowed(call, "DeleteDBCluster", required(call, "DBClusterIdentifier")?)?,
    );
    refuse_snapshot(call, false)?;
    let cluster = call.api.store().change(|draft| {
        let cluster = DbCluster { status: DbStatus::Deleting, ..DbCluster::clone(&*look_up(draft, &place, &found.name)?) };
        if cluster.deletion_protection {
            return Err(bad_combination("Cannot delete protected Cluster, please disable deletion protection and try again."));
        }
        if members(draft, &cluster).any(|db| db.status != DbStatus::Deleting) {
            let message = "Cluster cannot be deleted, it still contains DB instances in non-deleting state.";
            return Err(error("InvalidDBClusterStateFault", message));
        }
        draft.put(cluster.clone())?;
        remove_when_empty(draft, &cluster)?;
        Ok::<_, ApiError>(cluster)
    })?;
    Ok(said(&call.state, &place, &cluster))
}

/// Forgets a cluster that is being deleted, once it has no member.
pub(crate) fn remove_when_empty(
    draft: &mut Draft,
    cluster: &DbCluster,
) -> Result<(), StoreError> {
    if cluster.status != DbStatus::Deleting || members(draft, cluster).next().is_some() {
        return Ok(());
    }
    proxy::forget(draft, |proxy| {
        proxy.cluster.as_ref() == Some(&cluster.name)
            && proxy.account == cluster.account
            && proxy.region == cluster.region
    })?;
    draft.remove::<SecretRecord>(&password_name(cluster));
    draft.remove::<DbCluster>(&regional_key(&cluster.account, &cluster.region, &cluster.name));
    Ok(())
}

/// The record of a cluster in a change.
pub(crate) fn record(
    draft: &Draft,
    place: &AccountRegion,
    name: &str,
) -> Result<DbCluster, ApiError> {
    let found = draft.db_clusters.get(&regional_key(&place.account, &place.region, name));
    found.map(|cluster| DbCluster::clone(cluster)).ok_or_else(|| not_found(name))
}
