//! Database instances: lookup and output.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod lifecycle;

use std::sync::Arc;

use countersign_authority::model::{DbInstance, DbStatus, Endpoint, Instance, instant};
use countersign_authority::store::State;
use countersign_core::name::InstanceId;
use countersign_core::timestamp::rfc3339;

use super::ca_certificate;
use super::job_runner::JobRunner;
use super::records::instance::{endpoint_of, not_found};
use super::request::{AccountRegion, ConditionKeys, authorize, filters, page, write_tags};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Default values of settings in responses.
const DEFAULT_SETTINGS: [(&str, &str); 8] = [
    ("AllocatedStorage", "20"),
    ("AutoMinorVersionUpgrade", "true"),
    ("BackupRetentionPeriod", "0"),
    ("CopyTagsToSnapshot", "false"),
    ("PreferredBackupWindow", "04:00-04:30"),
    ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
    ("PubliclyAccessible", "false"),
    ("StorageType", "gp2"),
];

/// Lists that are always empty here. AWS always sends them, and clients iterate without checking
/// for their presence.
const EMPTY_LISTS: [&str; 7] = [
    "AssociatedRoles",
    "DBParameterGroups",
    "DBSecurityGroups",
    "DomainMemberships",
    "OptionGroupMemberships",
    "ReadReplicaDBInstanceIdentifiers",
    "VpcSecurityGroups",
];

/// Instance: record of the API and record of the verifier.
#[derive(Debug, Clone)]
pub(crate) struct InstanceView {
    pub(crate) db: Arc<DbInstance>,
    /// Record of the verifier; `None` before the instance is available.
    pub(crate) instance: Option<Arc<Instance>>,
    /// True if the API created the instance; false for those of `local up` and attached ones.
    pub(crate) created_by_api: bool,
}

impl InstanceView {
    fn created(state: &State, db: &Arc<DbInstance>) -> Self {
        let instance = state.instances.get(db.name.as_str()).cloned();
        Self { db: Arc::clone(db), instance, created_by_api: true }
    }

    fn external(runner: &JobRunner, instance: &Arc<Instance>) -> Self {
        let described = runner.description(&instance.name);
        let own = || instance.addresses.iter().find(|address| address.resource_id.is_none());
        let host = described
            .as_ref()
            .map(|described| described.running.host.clone())
            .or_else(|| own().map(|at| at.host.clone()));
        let endpoint = own().zip(host).map(|(own, host)| Endpoint { host, port: own.port });
        let db = DbInstance {
            name: instance.name.clone(),
            account: instance.account.clone(),
            region: instance.region.clone(),
            resource_id: instance.resource_id.clone(),
            engine: instance.engine.as_str().to_owned(),
            version: described
                .as_ref()
                .map_or_else(String::new, |described| described.running.version.clone()),
            class: "db.t3.micro".to_owned(),
            status: DbStatus::Available,
            reason: None,
            created: 0,
            master: described.as_ref().map_or_else(String::new, |described| described.user.clone()),
            database: described
                .map(|described| described.database)
                .filter(|database| !database.is_empty()),
            endpoint,
            iam_enabled: instance.iam_enabled,
            pending: Default::default(),
            cluster: None,
            deletion_protection: false,
            exports: Default::default(),
            settings: Default::default(),
            tags: Default::default(),
            runner: String::new(),
        };
        Self { db: Arc::new(db), instance: Some(Arc::clone(instance)), created_by_api: false }
    }

    /// Returns true if IAM authentication is enabled, or will be once the instance is available.
    pub(crate) fn iam_enabled(&self) -> bool {
        self.instance.as_ref().map_or(self.db.iam_enabled, |instance| instance.iam_enabled)
    }

    /// Returns the endpoint of the instance.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        endpoint_of(&self.db, self.instance.as_deref())
    }
}

/// Returns all instances of an account in a region, in the order of their names.
fn all(state: &State, runner: &JobRunner, scope: &AccountRegion) -> Vec<InstanceView> {
    let kept = state
        .db_instances
        .values()
        .filter(|db| scope.has(&db.account, &db.region))
        .map(|db| InstanceView::created(state, db));
    let others =
        state.instances.values().filter(|instance| scope.has(&instance.account, &instance.region));
    let others = others.filter(|instance| !state.db_instances.contains_key(instance.name.as_str()));
    let mut all: Vec<InstanceView> =
        kept.chain(others.map(|instance| InstanceView::external(runner, instance))).collect();
    all.sort_by(|one, other| one.db.name.cmp(&other.db.name));
    all
}

/// Returns the instance of a name, in any case, or of an ARN.
pub(crate) fn look_up(
    state: &State,
    runner: &JobRunner,
    scope: &AccountRegion,
    text: &str,
) -> Option<InstanceView> {
    let text = scope.name_of("db", text);
    let names = [text.to_owned(), text.to_ascii_lowercase()];
    let kept = names
        .iter()
        .find_map(|name| state.db_instances.get(name))
        .filter(|db| scope.has(&db.account, &db.region));
    if let Some(db) = kept {
        return Some(InstanceView::created(state, db));
    }
    let other = names.iter().find_map(|name| state.instances.get(name));
    let other = other.filter(|instance| scope.has(&instance.account, &instance.region));
    other
        .filter(|instance| !state.db_instances.contains_key(instance.name.as_str()))
        .map(|instance| InstanceView::external(runner, instance))
}

/// Returns the instance of a request, if the caller may perform `action` on it.
pub(crate) fn authorized(
    ctx: &RequestContext<'_>,
    action: &str,
    text: &str,
) -> Result<InstanceView, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let view = look_up(&ctx.state, &ctx.api.jobs, &scope, text);
    let name = view.as_ref().map_or_else(
        || scope.name_of("db", text).to_ascii_lowercase(),
        |view| view.db.name.to_string(),
    );
    let condition_keys =
        view.as_ref().map(|view| ConditionKeys::of_instance(&view.db)).unwrap_or_default();
    authorize(ctx, action, &scope.arn("db", &name), &condition_keys)?;
    view.ok_or_else(|| not_found(text))
}

/// `DescribeDBInstances`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let views = match ctx.parameters.text("DBInstanceIdentifier") {
        Some(text) => vec![authorized(ctx, "DescribeDBInstances", text)?],
        None => {
            authorize(
                ctx,
                "DescribeDBInstances",
                &scope.arn("db", "*"),
                &ConditionKeys::default(),
            )?;
            all(&ctx.state, &ctx.api.jobs, &scope)
        }
    };
    let filters =
        filters(ctx, &["db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine"])?;
    let fits = |view: &InstanceView| {
        filters.iter().all(|(name, values)| {
            values.iter().any(|value| match name.as_str() {
                "db-cluster-id" => {
                    view.db.cluster.as_deref() == Some(scope.name_of("cluster", value))
                }
                "db-instance-id" => view.db.name.as_str() == scope.name_of("db", value),
                "dbi-resource-id" => view.db.resource_id.as_str() == value,
                "engine" => view.db.engine == *value,
                _ => false,
            })
        })
    };
    let views =
        views.into_iter().filter(fits).map(|view| (view.db.name.to_string(), view)).collect();
    let (page, marker) = page(ctx, views)?;
    let mut xml = Xml::new();
    xml.list("DBInstances", "DBInstance", page, |xml, view| write(xml, ctx, &scope, &view));
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Returns the output for an instance, with its current state.
pub(crate) fn current_output(
    ctx: &RequestContext<'_>,
    name: &InstanceId,
) -> Result<ActionOutput, ApiError> {
    let (scope, state) = (AccountRegion::of(ctx)?, ctx.api.store().state()?);
    let view = look_up(&state, &ctx.api.jobs, &scope, name.as_str())
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(output(ctx, &scope, &view))
}

/// Returns the output for an instance that may no longer exist.
pub(crate) fn output(
    ctx: &RequestContext<'_>,
    scope: &AccountRegion,
    view: &InstanceView,
) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBInstance", |xml| write(xml, ctx, scope, view));
    xml.into()
}

/// Writes a `DBInstance`. Source of names: botocore's model of the RDS API.
fn write(xml: &mut Xml, ctx: &RequestContext<'_>, scope: &AccountRegion, view: &InstanceView) {
    let db = &view.db;
    xml.leaf("DBInstanceIdentifier", &db.name)
        .leaf("DBInstanceClass", &db.class)
        .leaf("Engine", &db.engine);
    xml.leaf("DBInstanceStatus", db.status.as_str());
    xml.optional_leaf("MasterUsername", Some(&db.master).filter(|name| !name.is_empty()))
        .optional_leaf("DBName", db.database.as_ref());
    if let Some(Endpoint { host, port }) = view.endpoint() {
        xml.element("Endpoint", |xml| {
            xml.leaf("Address", host).leaf("Port", port);
        });
    }
    if db.created > 0 {
        xml.leaf("InstanceCreateTime", rfc3339(instant(db.created)));
    }
    let kept = db.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let usual = DEFAULT_SETTINGS.into_iter().filter(|(name, _)| !db.settings.contains_key(*name));
    for (name, value) in kept.chain(usual) {
        xml.leaf(name, value);
    }
    write_pending(xml, db);
    xml.leaf("MultiAZ", "false")
        .optional_leaf("EngineVersion", Some(&db.version).filter(|version| !version.is_empty()));
    if !db.settings.contains_key("LicenseModel") {
        xml.leaf("LicenseModel", license(&db.engine));
    }
    for list in EMPTY_LISTS {
        xml.texts(list, "member", [""; 0]);
    }
    if let Some(reason) = &db.reason {
        xml.list("StatusInfos", "DBInstanceStatusInfo", [reason], |xml, reason| {
            let normal = db.status != DbStatus::Failed;
            xml.leaf("StatusType", "instance")
                .leaf("Normal", normal)
                .leaf("Status", db.status.as_str())
                .leaf("Message", reason);
        });
    }
    xml.leaf("DbInstancePort", 0).optional_leaf("DBClusterIdentifier", db.cluster.as_ref());
    if db.cluster.is_some() && !db.settings.contains_key("PromotionTier") {
        xml.leaf("PromotionTier", 1);
    }
    xml.leaf("NetworkType", "IPV4")
        .leaf("StorageEncrypted", "false")
        .leaf("DbiResourceId", &db.resource_id);
    if let Some(certificate) = ctx.api.jobs.certificate() {
        xml.leaf("CACertificateIdentifier", ca_certificate::NAME);
        xml.element("CertificateDetails", |xml| {
            xml.leaf("CAIdentifier", ca_certificate::NAME).leaf("ValidTill", &certificate.until);
        });
    }
    xml.leaf("MonitoringInterval", 0).leaf("DBInstanceArn", scope.arn("db", db.name.as_str()));
    xml.leaf("IAMDatabaseAuthenticationEnabled", view.iam_enabled());
    if !db.exports.is_empty() {
        xml.texts("EnabledCloudwatchLogsExports", "member", &db.exports);
    }
    xml.leaf("DeletionProtection", db.deletion_protection);
    write_tags(xml, &db.tags);
}

/// Source: LicenseModel of CreateDBInstance in the RDS API reference.
fn license(engine: &str) -> &'static str {
    if matches!(engine, "postgres" | "aurora-postgresql") {
        "postgresql-license"
    } else {
        "general-public-license"
    }
}

/// Writes `PendingModifiedValues`, which is present even if empty.
fn write_pending(xml: &mut Xml, db: &DbInstance) {
    xml.element("PendingModifiedValues", |xml| {
        for (name, value) in &db.pending {
            xml.leaf(name, value);
        }
    });
}
