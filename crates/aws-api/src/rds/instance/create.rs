//! Creation of an instance: the response is sent at once; a job creates the server.

use countersign_authority::model::{DbCluster, DbInstance, DbStatus, seconds};
use countersign_authority::servers::{MasterUser, NewServer};
use countersign_authority::store::{Draft, regional_key};
use countersign_core::credentials::Secret;
use countersign_core::name::{Engine, InstanceId};

use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::jobs::create_server;
use crate::rds::records::cluster::{not_found, password_name, wrong_state};
use crate::rds::request::{
    AccountRegion, ConditionKeys, authorize_new, bad_combination, bad_value, error, required, tags,
};
use crate::rds::validate::{
    class, database_name, engine, log_types, master_name, master_password, new_name, port,
    resource_id, settings,
};
use crate::rds::{certificate, cluster, versions};

/// Maximum number of instances of an account in a region.
/// Source: "Quotas and constraints for Amazon RDS" in the RDS user guide.
const MAX_INSTANCES: usize = 40;

/// `CreateDBInstance`
pub(crate) fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let name = new_name("DBInstanceIdentifier", required(ctx, "DBInstanceIdentifier")?)?;
    let mut db = new_record(ctx, &scope, name)?;
    let arn = scope.arn("db", db.name.as_str());
    let tagged = db.tags.clone();
    let condition_keys = ConditionKeys {
        request_tags: Some(&tagged),
        resource_tags: None,
        ..ConditionKeys::of_instance(&db)
    };
    authorize_new(ctx, "CreateDBInstance", &arn, &condition_keys)?;
    let runner = &ctx.api.jobs;
    let permit = runner.permit()?;
    runner.name().clone_into(&mut db.runner);
    let mut new = match &db.cluster {
        Some(_) => member(ctx, &mut db)?,
        None => standalone(ctx, &mut db)?,
    };
    let (replica_of, name) = runner.store().change(|draft| insert(draft, &scope, &db))?;
    new.replica_of = replica_of;
    create_server(permit, new);
    super::current_output(ctx, &name)
}

/// Returns the record of a new instance, without the parts that its cluster determines.
fn new_record(
    ctx: &RequestContext<'_>,
    scope: &AccountRegion,
    name: InstanceId,
) -> Result<DbInstance, ApiError> {
    let engine_name = required(ctx, "Engine")?;
    let engine = engine(engine_name)?;
    certificate::check(ctx)?;
    Ok(DbInstance {
        name,
        account: scope.account.clone(),
        region: scope.region.clone(),
        resource_id: resource_id("db-")?,
        engine: engine_name.to_owned(),
        version: String::new(),
        class: class(required(ctx, "DBInstanceClass")?)?,
        status: DbStatus::Creating,
        reason: None,
        created: seconds(ctx.now),
        master: String::new(),
        database: ctx
            .parameters
            .text("DBName")
            .map(|name| database_name("DBName", name))
            .transpose()?,
        endpoint: None,
        iam_enabled: ctx.parameters.flag("EnableIAMDatabaseAuthentication")?.unwrap_or(false),
        pending: Default::default(),
        cluster: ctx.parameters.text("DBClusterIdentifier").map(str::to_ascii_lowercase),
        deletion_protection: ctx.parameters.flag("DeletionProtection")?.unwrap_or(false),
        exports: log_types(engine, &ctx.parameters.list("EnableCloudwatchLogsExports"))?
            .into_iter()
            .collect(),
        settings: settings(ctx)?,
        tags: tags(ctx.parameters)?,
        runner: String::new(),
    })
}

/// Completes the record of an instance without a cluster.
fn standalone(ctx: &RequestContext<'_>, db: &mut DbInstance) -> Result<NewServer, ApiError> {
    if db.engine.starts_with("aurora") {
        return Err(bad_combination(format!(
            "An instance of {} needs a DBClusterIdentifier: create the cluster first.",
            db.engine
        )));
    }
    let engine = engine(&db.engine)?;
    db.version = versions::fitting(ctx, &db.engine, ctx.parameters.text("EngineVersion"))?;
    db.master = master_name(engine, required(ctx, "MasterUsername")?)?;
    let password = master_password(engine, required(ctx, "MasterUserPassword")?)?;
    let master = MasterUser { name: db.master.clone(), password };
    Ok(NewServer { port: port(ctx, "Port")?, master: Some(master), ..server(db, engine) })
}

/// Completes the record of a cluster's member, which inherits its settings.
fn member(ctx: &RequestContext<'_>, db: &mut DbInstance) -> Result<NewServer, ApiError> {
    for name in [
        "MasterUsername",
        "MasterUserPassword",
        "DBName",
        "Port",
        "EnableIAMDatabaseAuthentication",
        "DeletionProtection",
    ] {
        if ctx.parameters.text(name).is_some() {
            let message = format!(
                "The requested DB Instance will be a member of a DB Cluster. Set {name} for the \
                 DB Cluster."
            );
            return Err(bad_combination(message));
        }
    }
    let cluster =
        cluster::authorized(ctx, "CreateDBInstance", db.cluster.as_deref().unwrap_or_default())?;
    if cluster.engine != db.engine {
        let message = format!(
            "The engine {} is not that of the cluster {}, {}.",
            db.engine, cluster.name, cluster.engine
        );
        return Err(bad_combination(message));
    }
    if let Some(version) = ctx.parameters.text("EngineVersion")
        && !versions::covers(version, &cluster.version)
    {
        return Err(bad_combination(format!(
            "The cluster {} is of version {}.",
            cluster.name, cluster.version
        )));
    }
    let engine = engine(&db.engine)?;
    (db.version, db.master) = (cluster.version.clone(), cluster.master.clone());
    (db.database, db.iam_enabled) = (cluster.database.clone(), cluster.iam_enabled);
    let kept = ctx
        .state
        .secrets
        .get(&password_name(&cluster))
        .and_then(|kept| Secret::new(kept.text.as_str()));
    let password = kept.ok_or_else(|| {
        ApiError::internal(&format!(
            "the password of the cluster {} no longer exists",
            cluster.name
        ))
    })?;
    let master = MasterUser { name: cluster.master.clone(), password };
    Ok(NewServer { port: cluster.port, master: Some(master), ..server(db, engine) })
}

fn server(db: &DbInstance, engine: Engine) -> NewServer {
    NewServer {
        instance: db.name.clone(),
        resource_id: db.resource_id.clone(),
        engine,
        version: Some(db.version.clone()),
        port: None,
        database: db.database.clone(),
        master: None,
        replica_of: None,
    }
}

/// Writes the record, if the name is free. The first member of a cluster becomes its writer; for
/// others, returns the writer to replicate.
fn insert(
    draft: &mut Draft,
    scope: &AccountRegion,
    db: &DbInstance,
) -> Result<(Option<InstanceId>, InstanceId), ApiError> {
    // Names of servers that the API did not create may contain capitals.
    let taken = draft
        .instances
        .values()
        .any(|other| other.name.as_str().eq_ignore_ascii_case(db.name.as_str()));
    if taken || draft.db_instances.contains_key(db.name.as_str()) {
        return Err(error(
            "DBInstanceAlreadyExists",
            format!("DB instance {} already exists: names are unique in the authority.", db.name),
        ));
    }
    if draft.db_instances.values().filter(|other| scope.has(&other.account, &other.region)).count()
        >= MAX_INSTANCES
    {
        return Err(error(
            "InstanceQuotaExceeded",
            format!("Cannot create more than {MAX_INSTANCES} DB instances in a region."),
        ));
    }
    let mut replica_of = None;
    if let Some(cluster) = &db.cluster {
        let cluster = draft
            .db_clusters
            .get(&regional_key(&db.account, &db.region, cluster))
            .cloned()
            .ok_or_else(|| not_found(cluster))?;
        if cluster.status != DbStatus::Available {
            return Err(wrong_state(&cluster));
        }
        replica_of.clone_from(&cluster.writer);
        if cluster.writer.is_none() {
            draft.put(DbCluster { writer: Some(db.name.clone()), ..DbCluster::clone(&cluster) })?;
        }
    }
    draft.put(db.clone())?;
    Ok((replica_of, db.name.clone()))
}

/// Returns an error for a change of an identifier.
pub(crate) fn reject_rename(ctx: &RequestContext<'_>, parameter: &str) -> Result<(), ApiError> {
    match ctx.parameters.text(parameter) {
        Some(_) => Err(bad_value(format!(
            "{parameter} is not supported: servers send their name to the authority, so it cannot \
             change."
        ))),
        None => Ok(()),
    }
}
