//! Creation, modification, start, stop and deletion of clusters.

use countersign_authority::model::{DbCluster, DbInstance, DbStatus, SecretRecord, seconds};
use countersign_authority::store::{Draft, StoreError, regional_key};
use countersign_core::credentials::Secret;
use countersign_core::name::InstanceId;
use zeroize::Zeroizing;

use super::{authorized, current_output, output};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::instance::create::reject_rename;
use crate::rds::instance::lifecycle::reject_snapshot;
use crate::rds::job_runner::JobRunner;
use crate::rds::jobs::{change_password, run_transition};
use crate::rds::records::cluster::{
    all, look_up, members, password_name, remove_when_empty, wrong_state,
};
use crate::rds::records::instance::{IAM, check_state, set_iam_enabled};
use crate::rds::request::{
    AccountRegion, ConditionKeys, authorize_new, bad_combination, error, required, tags,
};
use crate::rds::validate::{
    database_name, engine, log_types, master_name, master_password, new_name, port, resource_id,
    settings,
};
use crate::rds::{certificate, versions};

/// Maximum number of clusters of an account in a region.
/// Source: "Quotas and constraints for Amazon RDS" in the RDS user guide.
const MAX_CLUSTERS: usize = 40;

/// `CreateDBCluster`: the cluster is available at once, and has no server before its first
/// instance.
pub(crate) fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let name = new_name("DBClusterIdentifier", required(ctx, "DBClusterIdentifier")?)?;
    let engine_name = required(ctx, "Engine")?;
    let engine = engine(engine_name)?;
    if engine_name == "mariadb" {
        return Err(bad_combination("The engine mariadb does not support clusters."));
    }
    let tags = tags(ctx.parameters)?;
    let condition_keys = ConditionKeys {
        request_tags: Some(&tags),
        other: vec![("rds:DatabaseEngine", engine_name.to_owned())],
        ..ConditionKeys::default()
    };
    authorize_new(ctx, "CreateDBCluster", &scope.arn("cluster", name.as_str()), &condition_keys)?;
    ctx.api.jobs.servers()?;
    certificate::check(ctx)?;
    let password = master_password(engine, required(ctx, "MasterUserPassword")?)?;
    let cluster = DbCluster {
        name: name.to_string(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        resource_id: resource_id("cluster-")?,
        engine: engine_name.to_owned(),
        version: versions::fitting(ctx, engine_name, ctx.parameters.text("EngineVersion"))?,
        status: DbStatus::Available,
        created: seconds(ctx.now),
        master: master_name(engine, required(ctx, "MasterUsername")?)?,
        database: ctx
            .parameters
            .text("DatabaseName")
            .map(|name| database_name("DatabaseName", name))
            .transpose()?,
        port: port(ctx, "Port")?,
        iam_enabled: ctx.parameters.flag("EnableIAMDatabaseAuthentication")?.unwrap_or(false),
        pending: Default::default(),
        writer: None,
        deletion_protection: ctx.parameters.flag("DeletionProtection")?.unwrap_or(false),
        exports: log_types(engine, &ctx.parameters.list("EnableCloudwatchLogsExports"))?
            .into_iter()
            .collect(),
        settings: settings(ctx)?,
        endpoints: Default::default(),
        tags,
    };
    ctx.api.store().change(|draft| insert(draft, &scope, &cluster, &password))?;
    current_output(ctx, name.as_str())
}

/// Writes a new cluster and its password, if the name is free.
fn insert(
    draft: &mut Draft,
    scope: &AccountRegion,
    cluster: &DbCluster,
    password: &Secret,
) -> Result<(), ApiError> {
    let name = &cluster.name;
    if draft.db_clusters.contains_key(&regional_key(&scope.account, &scope.region, name)) {
        return Err(error(
            "DBClusterAlreadyExistsFault",
            format!("DB Cluster {name} already exists"),
        ));
    }
    if all(draft, scope).count() >= MAX_CLUSTERS {
        let message = format!("Cannot create more than {MAX_CLUSTERS} DB clusters in a region.");
        return Err(ApiError::new("DBClusterQuotaExceededFault", 403, &message));
    }
    store_password(draft, cluster, password, cluster.created)?;
    Ok(draft.put(cluster.clone()).map(drop)?)
}

fn store_password(
    draft: &mut Draft,
    cluster: &DbCluster,
    password: &Secret,
    created: u64,
) -> Result<(), StoreError> {
    let text = Zeroizing::new(password.expose().to_owned());
    draft.put(SecretRecord { name: password_name(cluster), text, created }).map(drop)
}

/// `ModifyDBCluster`
pub(crate) fn modify(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (scope, requested) = (
        AccountRegion::of(ctx)?,
        authorized(ctx, "ModifyDBCluster", required(ctx, "DBClusterIdentifier")?)?,
    );
    reject_rename(ctx, "NewDBClusterIdentifier")?;
    let engine = engine(&requested.engine)?;
    let settings = settings(ctx)?;
    let (now, iam) = (
        ctx.parameters.flag("ApplyImmediately")?.unwrap_or(false),
        ctx.parameters.flag("EnableIAMDatabaseAuthentication")?,
    );
    let protection = ctx.parameters.flag("DeletionProtection")?;
    let exports = |list: &str| {
        log_types(
            engine,
            &ctx.parameters.list(&format!("CloudwatchLogsExportConfiguration.{list}")),
        )
    };
    let (enable, disable) = (exports("EnableLogTypes")?, exports("DisableLogTypes")?);
    let password = ctx
        .parameters
        .text("MasterUserPassword")
        .map(|password| master_password(engine, password))
        .transpose()?;
    let runner = &ctx.api.jobs;
    let permit = password.as_ref().map(|_| runner.permit()).transpose()?;
    let writer = runner.store().change(|draft| {
        let mut cluster = DbCluster::clone(&*look_up(draft, &scope, &requested.name)?);
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
            store_password(draft, &cluster, password, seconds(ctx.now))?;
        }
        draft.put(cluster)?;
        Ok(writer)
    })?;
    if let (Some(permit), Some(writer), Some(password)) = (permit, writer, password) {
        change_password(permit, writer, requested.master.clone(), password);
    }
    current_output(ctx, &requested.name)
}

/// Sets IAM authentication for all members, at once or at the next request with `ApplyImmediately`.
fn apply_iam(draft: &mut Draft, cluster: &mut DbCluster, now: bool) -> Result<(), ApiError> {
    let Some(wanted) = cluster.pending.get(IAM).map(|value| value == "true") else {
        return Ok(());
    };
    if now {
        let names: Vec<InstanceId> = members(draft, cluster).map(|db| db.name.clone()).collect();
        for name in names {
            set_iam_enabled(draft, name.as_str(), wanted)?;
        }
        cluster.iam_enabled = wanted;
    }
    if now || cluster.iam_enabled == wanted {
        cluster.pending.remove(IAM);
    }
    Ok(())
}

/// Marks the writer as being modified and returns it; `None` if the cluster has no writer.
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
pub(crate) fn start(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    transition_members(ctx, "StartDBCluster", DbStatus::Stopped, DbStatus::Starting)
}

/// `StopDBCluster`
pub(crate) fn stop(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    transition_members(ctx, "StopDBCluster", DbStatus::Available, DbStatus::Stopping)
}

/// Starts the transition of all members of a cluster, one after the other.
fn transition_members(
    ctx: &RequestContext<'_>,
    action: &str,
    from: DbStatus,
    transition: DbStatus,
) -> Result<ActionOutput, ApiError> {
    let (scope, requested) =
        (AccountRegion::of(ctx)?, authorized(ctx, action, required(ctx, "DBClusterIdentifier")?)?);
    let runner = &ctx.api.jobs;
    let permit = runner.permit()?;
    let names = runner.store().change(|draft| {
        let cluster = look_up(draft, &scope, &requested.name)?;
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
                draft.put(DbInstance { status: transition, reason: None, ..db })?;
            }
        }
        draft.put(DbCluster { status: transition, ..DbCluster::clone(&cluster) })?;
        Ok::<_, ApiError>(names)
    })?;
    JobRunner::spawn(permit, transition.as_str(), move |runner, servers| {
        names.iter().for_each(|name| run_transition(runner, servers, name, transition))
    });
    current_output(ctx, &requested.name)
}

/// `DeleteDBCluster`
pub(crate) fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (scope, requested) = (
        AccountRegion::of(ctx)?,
        authorized(ctx, "DeleteDBCluster", required(ctx, "DBClusterIdentifier")?)?,
    );
    reject_snapshot(ctx, false)?;
    let cluster = ctx.api.store().change(|draft| {
        let cluster = DbCluster {
            status: DbStatus::Deleting,
            ..DbCluster::clone(&*look_up(draft, &scope, &requested.name)?)
        };
        if cluster.deletion_protection {
            return Err(bad_combination(
                "Cannot delete protected Cluster, please disable deletion \
                protection and try again.",
            ));
        }
        if members(draft, &cluster).any(|db| db.status != DbStatus::Deleting) {
            let message = "Cluster cannot be deleted, it still contains DB instances in \
                non-deleting state.";
            return Err(error("InvalidDBClusterStateFault", message));
        }
        draft.put(cluster.clone())?;
        remove_when_empty(draft, &cluster)?;
        Ok::<_, ApiError>(cluster)
    })?;
    Ok(output(&ctx.state, &scope, &cluster))
}
