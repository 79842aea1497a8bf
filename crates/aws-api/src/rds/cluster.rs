//! Clusters: instances that share a resource id, a master user and a switch for IAM authentication. The first is written to.
//!
//! An endpoint of AWS's model is a host without a port. Here the members share their hosts and differ by their ports: an endpoint
//! whose port is not the cluster's `Port` is given as `host:port`, so that nobody reaches the writer by a reader's name.

pub(super) mod change;
pub(super) mod endpoint;

use std::sync::Arc;

use countersign_core::timestamp::rfc3339;

use super::instance::reached;
use super::request::{AccountRegion, Facts, allow, error, filters, page, put_tags};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{DbCluster, DbInstance, DbStatus, Endpoint, instant};
use countersign_authority::store::{State, regional_key};

/// Settings that an answer gives where nobody gave them.
const USUAL: [(&str, &str); 6] = [
    // Aurora's storage has no size of its own. Source: the AWS CLI's examples of create-db-cluster.
    ("AllocatedStorage", "1"),
    ("AutoMinorVersionUpgrade", "true"),
    ("BackupRetentionPeriod", "1"),
    ("CopyTagsToSnapshot", "false"),
    ("PreferredBackupWindow", "04:00-04:30"),
    ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
];

/// Lists that are always empty here, and that AWS always gives: clients go through them without asking whether they are there.
const NONE_HERE: [&str; 5] = [
    "AssociatedRoles",
    "AvailabilityZones",
    "DomainMemberships",
    "ReadReplicaIdentifiers",
    "VpcSecurityGroups",
];

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBClusterNotFoundFault", 404, &format!("DBCluster {name} not found."))
}

pub(super) fn wrong_state(cluster: &DbCluster) -> ApiError {
    let status = cluster.status.as_str();
    error("InvalidDBClusterStateFault", format!("DbCluster {} is in {status} state", cluster.name))
}

/// The cluster of that name, in any case, or of that ARN.
pub(super) fn look_up(
    state: &State,
    place: &AccountRegion,
    text: &str,
) -> Result<Arc<DbCluster>, ApiError> {
    let name = place.name_in("cluster", text);
    state
        .db_clusters
        .get(&regional_key(&place.account, &place.region, name))
        .cloned()
        .ok_or_else(|| not_found(name))
}

/// Where the store keeps the password of the master user, for the first instance.
pub(super) fn password_name(cluster: &DbCluster) -> String {
    format!("rds/{}/master-password", cluster.resource_id)
}

/// The members in the order of their names.
pub(super) fn members<'a>(
    state: &'a State,
    cluster: &'a DbCluster,
) -> impl Iterator<Item = &'a Arc<DbInstance>> {
    let of = |db: &&Arc<DbInstance>| {
        db.cluster.as_ref() == Some(&cluster.name)
            && db.account == cluster.account
            && db.region == cluster.region
    };
    state.db_instances.values().filter(of)
}

/// The cluster that a request is about, if the caller may do `action` to it.
pub(super) fn allowed(
    call: &RequestContext<'_>,
    action: &str,
    text: &str,
) -> Result<Arc<DbCluster>, ApiError> {
    let place = AccountRegion::of(call)?;
    let found = look_up(&call.state, &place, text);
    let facts = found.as_ref().map(|found| Facts::of_cluster(found)).unwrap_or_default();
    let name = place.name_in("cluster", text).to_ascii_lowercase();
    allow(call, action, &place.arn("cluster", &name), &facts)?;
    found
}

/// `DescribeDBClusters`
pub(super) fn describe(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let found: Vec<Arc<DbCluster>> = match call.parameters.text("DBClusterIdentifier") {
        Some(text) => vec![allowed(call, "DescribeDBClusters", text)?],
        None => {
            allow(call, "DescribeDBClusters", &place.arn("cluster", "*"), &Facts::default())?;
            all(&call.state, &place).cloned().collect()
        }
    };
    let filters = filters(
        call,
        &["clone-group-id", "db-cluster-id", "db-cluster-resource-id", "domain", "engine"],
    )?;
    let fits = |cluster: &Arc<DbCluster>| {
        filters.iter().all(|(name, values)| {
            values.iter().any(|value| match name.as_str() {
                "db-cluster-id" => cluster.name == place.name_in("cluster", value),
                "db-cluster-resource-id" => cluster.resource_id.as_str() == value,
                "engine" => cluster.engine == *value,
                _ => false,
            })
        })
    };
    let found =
        found.into_iter().filter(fits).map(|cluster| (cluster.name.clone(), cluster)).collect();
    let (page, marker) = page(call, found)?;
    let mut xml = Xml::new();
    xml.list("DBClusters", "DBCluster", page, |xml, cluster| {
        put(xml, &call.state, &place, &cluster)
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Every cluster of a place.
pub(super) fn all<'a>(
    state: &'a State,
    place: &'a AccountRegion,
) -> impl Iterator<Item = &'a Arc<DbCluster>> {
    state
        .of_account::<DbCluster>(place.account.as_str())
        .filter(|cluster| cluster.region == place.region)
}

/// What an action answers of the cluster that it is about, as it is now.
pub(super) fn answer(call: &RequestContext<'_>, name: &str) -> Result<ActionOutput, ApiError> {
    let (place, state) = (AccountRegion::of(call)?, call.api.store().state()?);
    let cluster = look_up(&state, &place, name)?;
    Ok(said(&state, &place, &cluster))
}

pub(super) fn said(state: &State, place: &AccountRegion, cluster: &DbCluster) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBCluster", |xml| put(xml, state, place, cluster));
    xml.into()
}

/// Where a member is reached, once it has been available.
fn reached_member(state: &State, db: &DbInstance) -> Option<Endpoint> {
    reached(db, state.instances.get(db.name.as_str()).map(|instance| &**instance))
}

/// Where the writer is reached.
pub(super) fn writer(state: &State, cluster: &DbCluster) -> Option<Endpoint> {
    reached_member(state, state.db_instances.get(cluster.writer.as_ref()?.as_str())?)
}

/// The first reader that is available, else the writer.
fn reader(state: &State, cluster: &DbCluster) -> Option<Endpoint> {
    let reads = |db: &&Arc<DbInstance>| {
        Some(&db.name) != cluster.writer.as_ref() && db.status == DbStatus::Available
    };
    members(state, cluster)
        .find(reads)
        .and_then(|db| reached_member(state, db))
        .or_else(|| writer(state, cluster))
}

/// As an answer names an endpoint beside the cluster's port.
fn named(at: &Endpoint, port: Option<u16>) -> String {
    if port == Some(at.port) { at.host.to_string() } else { format!("{}:{}", at.host, at.port) }
}

/// Writes a `DBCluster`. Source of names: the model of the RDS API, as botocore has it.
fn put(xml: &mut Xml, state: &State, place: &AccountRegion, cluster: &DbCluster) {
    let writer = writer(state, cluster);
    let port = writer.as_ref().map(|writer| writer.port);
    let kept = cluster.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in
        kept.chain(USUAL.into_iter().filter(|(name, _)| !cluster.settings.contains_key(*name)))
    {
        xml.leaf(name, value);
    }
    xml.leaf("CrossAccountClone", false).leaf("HttpEndpointEnabled", false);
    for list in NONE_HERE {
        xml.texts(list, "member", [""; 0]);
    }
    xml.optional_leaf("DatabaseName", cluster.database.as_ref())
        .leaf("DBClusterIdentifier", &cluster.name)
        .leaf("Status", cluster.status.as_str());
    xml.optional_leaf("Endpoint", writer.as_ref().map(|writer| &writer.host));
    xml.optional_leaf("ReaderEndpoint", reader(state, cluster).map(|reader| named(&reader, port)));
    let custom: Vec<String> = cluster
        .endpoints
        .values()
        .filter_map(|custom| Some(named(&endpoint::target(state, cluster, custom)?, port)))
        .collect();
    if !custom.is_empty() {
        xml.texts("CustomEndpoints", "member", custom);
    }
    xml.leaf("MultiAZ", "false")
        .leaf("Engine", &cluster.engine)
        .leaf("EngineVersion", &cluster.version);
    xml.optional_leaf("Port", port.or(cluster.port)).leaf("MasterUsername", &cluster.master);
    xml.list("DBClusterMembers", "DBClusterMember", members(state, cluster), |xml, db| {
        xml.leaf("DBInstanceIdentifier", &db.name)
            .leaf("IsClusterWriter", Some(&db.name) == cluster.writer.as_ref());
        let tier = db.settings.get("PromotionTier").map_or("1", String::as_str);
        xml.leaf("DBClusterParameterGroupStatus", "in-sync").leaf("PromotionTier", tier);
    });
    xml.leaf("NetworkType", "IPV4")
        .leaf("StorageEncrypted", "false")
        .leaf("DbClusterResourceId", &cluster.resource_id);
    xml.leaf("DBClusterArn", place.arn("cluster", &cluster.name));
    xml.leaf("IAMDatabaseAuthenticationEnabled", cluster.iam_enabled);
    xml.leaf("ClusterCreateTime", rfc3339(instant(cluster.created)));
    if !cluster.exports.is_empty() {
        xml.texts("EnabledCloudwatchLogsExports", "member", &cluster.exports);
    }
    if !cluster.pending.is_empty() {
        xml.element("PendingModifiedValues", |xml| {
            for (name, value) in &cluster.pending {
                xml.leaf(name, value);
            }
        });
    }
    xml.leaf("EngineMode", "provisioned").leaf("DeletionProtection", cluster.deletion_protection);
    put_tags(xml, &cluster.tags);
}
