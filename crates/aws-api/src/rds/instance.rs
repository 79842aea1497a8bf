//! Database instances: what is known of them, and how it is said.

pub(super) mod change;
pub(super) mod completion;
pub(super) mod create;
pub(super) mod lifecycle;

use std::sync::Arc;

use countersign_core::name::InstanceId;
use countersign_core::timestamp::rfc3339;

use super::certificate;
use super::job_runner::JobRunner;
use super::request::{AccountRegion, Facts, allow, filters, page, put_tags};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{DbCluster, DbInstance, DbStatus, Endpoint, Instance, instant};
use countersign_authority::store::{State, regional_key};

/// Settings that an answer gives where nobody gave them.
const USUAL: [(&str, &str); 8] = [
    ("AllocatedStorage", "20"),
    ("AutoMinorVersionUpgrade", "true"),
    ("BackupRetentionPeriod", "0"),
    ("CopyTagsToSnapshot", "false"),
    ("PreferredBackupWindow", "04:00-04:30"),
    ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
    ("PubliclyAccessible", "false"),
    ("StorageType", "gp2"),
];

/// Lists that are always empty here, and that AWS always gives: clients go through them without asking whether they are there.
const NONE_HERE: [&str; 7] = [
    "AssociatedRoles",
    "DBParameterGroups",
    "DBSecurityGroups",
    "DomainMemberships",
    "OptionGroupMemberships",
    "ReadReplicaDBInstanceIdentifiers",
    "VpcSecurityGroups",
];

/// An instance: what the API keeps of it, and what the verifier goes by.
#[derive(Debug, Clone)]
pub(super) struct InstanceView {
    pub(super) db: Arc<DbInstance>,
    /// What the verifier goes by; none before it is available.
    pub(super) instance: Option<Arc<Instance>>,
    /// Whether the API made it: otherwise it was made by `local up`, or attached.
    pub(super) made_here: bool,
}

impl InstanceView {
    fn kept(state: &State, db: &Arc<DbInstance>) -> Self {
        let instance = state.instances.get(db.name.as_str()).cloned();
        Self { db: Arc::clone(db), instance, made_here: true }
    }

    fn other(runner: &JobRunner, instance: &Arc<Instance>) -> Self {
        let described = runner.described(&instance.name);
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
        Self { db: Arc::new(db), instance: Some(Arc::clone(instance)), made_here: false }
    }

    /// Whether IAM authentication counts, or will when it is available.
    pub(super) fn iam_enabled(&self) -> bool {
        self.instance.as_ref().map_or(self.db.iam_enabled, |instance| instance.iam_enabled)
    }

    /// Where clients reach it: the port is the verifier's, for it may change when a stack starts again.
    pub(super) fn endpoint(&self) -> Option<Endpoint> {
        reached(&self.db, self.instance.as_deref())
    }
}

/// Where clients reach an instance.
pub(super) fn reached(db: &DbInstance, instance: Option<&Instance>) -> Option<Endpoint> {
    let Endpoint { host, port } = db.endpoint.as_ref()?;
    let own = instance.and_then(|instance| {
        instance.addresses.iter().find(|address| address.resource_id.is_none())
    });
    Some(Endpoint { host: host.clone(), port: own.map_or(*port, |address| address.port) })
}

/// Every instance of a place, in the order of their names.
fn all(state: &State, runner: &JobRunner, place: &AccountRegion) -> Vec<InstanceView> {
    let kept = state
        .db_instances
        .values()
        .filter(|db| place.has(&db.account, &db.region))
        .map(|db| InstanceView::kept(state, db));
    let others =
        state.instances.values().filter(|instance| place.has(&instance.account, &instance.region));
    let others = others.filter(|instance| !state.db_instances.contains_key(instance.name.as_str()));
    let mut all: Vec<InstanceView> =
        kept.chain(others.map(|instance| InstanceView::other(runner, instance))).collect();
    all.sort_by(|one, other| one.db.name.cmp(&other.db.name));
    all
}

/// The instance of that name, in any case, or of that ARN.
pub(super) fn look_up(
    state: &State,
    runner: &JobRunner,
    place: &AccountRegion,
    text: &str,
) -> Option<InstanceView> {
    let text = place.name_in("db", text);
    let names = [text.to_owned(), text.to_ascii_lowercase()];
    let kept = names
        .iter()
        .find_map(|name| state.db_instances.get(name))
        .filter(|db| place.has(&db.account, &db.region));
    if let Some(db) = kept {
        return Some(InstanceView::kept(state, db));
    }
    let other = names.iter().find_map(|name| state.instances.get(name));
    let other = other.filter(|instance| place.has(&instance.account, &instance.region));
    other
        .filter(|instance| !state.db_instances.contains_key(instance.name.as_str()))
        .map(|instance| InstanceView::other(runner, instance))
}

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBInstanceNotFound", 404, &format!("DBInstance {name} not found."))
}

/// The instance that a request is about, if the caller may do `action` to it.
pub(super) fn allowed(
    call: &RequestContext<'_>,
    action: &str,
    text: &str,
) -> Result<InstanceView, ApiError> {
    let place = AccountRegion::of(call)?;
    let found = look_up(&call.state, &call.api.jobs, &place, text);
    let name = found.as_ref().map_or_else(
        || place.name_in("db", text).to_ascii_lowercase(),
        |found| found.db.name.to_string(),
    );
    let facts = found.as_ref().map(|found| Facts::of_instance(&found.db)).unwrap_or_default();
    allow(call, action, &place.arn("db", &name), &facts)?;
    found.ok_or_else(|| not_found(text))
}

/// The record of an instance in a change: it may have gone since the request came.
pub(super) fn record(state: &State, name: &InstanceId) -> Result<DbInstance, ApiError> {
    state
        .db_instances
        .get(name.as_str())
        .map(|db| DbInstance::clone(db))
        .ok_or_else(|| not_found(name.as_str()))
}

/// The cluster of an instance.
pub(super) fn cluster_of<'a>(state: &'a State, db: &DbInstance) -> Option<&'a Arc<DbCluster>> {
    state.db_clusters.get(&regional_key(&db.account, &db.region, db.cluster.as_deref()?))
}

/// `DescribeDBInstances`
pub(super) fn describe(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let found = match call.parameters.text("DBInstanceIdentifier") {
        Some(text) => vec![allowed(call, "DescribeDBInstances", text)?],
        None => {
            allow(call, "DescribeDBInstances", &place.arn("db", "*"), &Facts::default())?;
            all(&call.state, &call.api.jobs, &place)
        }
    };
    let filters =
        filters(call, &["db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine"])?;
    let fits = |found: &InstanceView| {
        filters.iter().all(|(name, values)| {
            values.iter().any(|value| match name.as_str() {
                "db-cluster-id" => {
                    found.db.cluster.as_deref() == Some(place.name_in("cluster", value))
                }
                "db-instance-id" => found.db.name.as_str() == place.name_in("db", value),
                "dbi-resource-id" => found.db.resource_id.as_str() == value,
                "engine" => found.db.engine == *value,
                _ => false,
            })
        })
    };
    let found =
        found.into_iter().filter(fits).map(|found| (found.db.name.to_string(), found)).collect();
    let (page, marker) = page(call, found)?;
    let mut xml = Xml::new();
    xml.list("DBInstances", "DBInstance", page, |xml, found| put(xml, call, &place, &found));
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// What an action answers of the instance that it is about, as it is now.
pub(super) fn answer(
    call: &RequestContext<'_>,
    name: &InstanceId,
) -> Result<ActionOutput, ApiError> {
    let (place, state) = (AccountRegion::of(call)?, call.api.store().state()?);
    let found = look_up(&state, &call.api.jobs, &place, name.as_str())
        .ok_or_else(|| not_found(name.as_str()))?;
    Ok(said(call, &place, &found))
}

/// The same of an instance that may have gone.
pub(super) fn said(
    call: &RequestContext<'_>,
    place: &AccountRegion,
    found: &InstanceView,
) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBInstance", |xml| put(xml, call, place, found));
    xml.into()
}

/// Writes a `DBInstance`. Source of names: the model of the RDS API, as botocore has it.
fn put(xml: &mut Xml, call: &RequestContext<'_>, place: &AccountRegion, found: &InstanceView) {
    let db = &found.db;
    xml.leaf("DBInstanceIdentifier", &db.name)
        .leaf("DBInstanceClass", &db.class)
        .leaf("Engine", &db.engine);
    xml.leaf("DBInstanceStatus", db.status.as_str());
    xml.optional_leaf("MasterUsername", Some(&db.master).filter(|name| !name.is_empty()))
        .optional_leaf("DBName", db.database.as_ref());
    if let Some(Endpoint { host, port }) = found.endpoint() {
        xml.element("Endpoint", |xml| {
            xml.leaf("Address", host).leaf("Port", port);
        });
    }
    if db.created > 0 {
        xml.leaf("InstanceCreateTime", rfc3339(instant(db.created)));
    }
    let kept = db.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let usual = USUAL.into_iter().filter(|(name, _)| !db.settings.contains_key(*name));
    for (name, value) in kept.chain(usual) {
        xml.leaf(name, value);
    }
    put_pending(xml, db);
    xml.leaf("MultiAZ", "false")
        .optional_leaf("EngineVersion", Some(&db.version).filter(|version| !version.is_empty()));
    if !db.settings.contains_key("LicenseModel") {
        xml.leaf("LicenseModel", license(&db.engine));
    }
    for list in NONE_HERE {
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
    if let Some(certificate) = call.api.jobs.certificate() {
        xml.leaf("CACertificateIdentifier", certificate::NAME);
        xml.element("CertificateDetails", |xml| {
            xml.leaf("CAIdentifier", certificate::NAME).leaf("ValidTill", &certificate.until);
        });
    }
    xml.leaf("MonitoringInterval", 0).leaf("DBInstanceArn", place.arn("db", db.name.as_str()));
    xml.leaf("IAMDatabaseAuthenticationEnabled", found.iam_enabled());
    if !db.exports.is_empty() {
        xml.texts("EnabledCloudwatchLogsExports", "member", &db.exports);
    }
    xml.leaf("DeletionProtection", db.deletion_protection);
    put_tags(xml, &db.tags);
}

/// Source: LicenseModel of CreateDBInstance in the RDS API reference.
fn license(engine: &str) -> &'static str {
    if matches!(engine, "postgres" | "aurora-postgresql") {
        "postgresql-license"
    } else {
        "general-public-license"
    }
}

/// `PendingModifiedValues`, which is there when it is empty too.
fn put_pending(xml: &mut Xml, db: &DbInstance) {
    xml.element("PendingModifiedValues", |xml| {
        for (name, value) in &db.pending {
            xml.leaf(name, value);
        }
    });
}
