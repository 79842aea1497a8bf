//! Clusters: instances that share a resource id, a master user and the setting of IAM
//! authentication. The first member is the writer.
//!
//! In AWS's model, an endpoint is a host without a port. Here, members share a host and differ by
//! their ports: an endpoint whose port is not the cluster's `Port` is written as `host:port`, so
//! that a client of the reader endpoint does not connect to the writer.

pub(crate) mod change;
pub(crate) mod endpoint;

use std::sync::Arc;

use countersign_authority::model::{DbCluster, Endpoint, instant};
use countersign_authority::store::State;
use countersign_core::timestamp::rfc3339;

use super::records::cluster::{
    all, custom_endpoint, look_up, members, reader_endpoint, writer_endpoint,
};
use super::request::{AccountRegion, ConditionKeys, authorize, filters, page, write_tags};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Default values of settings in responses.
const DEFAULT_SETTINGS: [(&str, &str); 6] = [
    // Aurora's storage has no fixed size.
    // Source: the AWS CLI's examples of create-db-cluster.
    ("AllocatedStorage", "1"),
    ("AutoMinorVersionUpgrade", "true"),
    ("BackupRetentionPeriod", "1"),
    ("CopyTagsToSnapshot", "false"),
    ("PreferredBackupWindow", "04:00-04:30"),
    ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
];

/// Lists that are always empty here. AWS always sends them, and clients iterate without checking
/// for their presence.
const EMPTY_LISTS: [&str; 5] = [
    "AssociatedRoles",
    "AvailabilityZones",
    "DomainMemberships",
    "ReadReplicaIdentifiers",
    "VpcSecurityGroups",
];

/// Returns the cluster of a request, if the caller may perform `action` on it.
pub(crate) fn authorized(
    ctx: &RequestContext<'_>,
    action: &str,
    text: &str,
) -> Result<Arc<DbCluster>, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let cluster = look_up(&ctx.state, &scope, text);
    let condition_keys =
        cluster.as_ref().map(|cluster| ConditionKeys::of_cluster(cluster)).unwrap_or_default();
    let name = scope.name_of("cluster", text).to_ascii_lowercase();
    authorize(ctx, action, &scope.arn("cluster", &name), &condition_keys)?;
    cluster
}

/// `DescribeDBClusters`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let clusters: Vec<Arc<DbCluster>> = match ctx.parameters.text("DBClusterIdentifier") {
        Some(text) => vec![authorized(ctx, "DescribeDBClusters", text)?],
        None => {
            authorize(
                ctx,
                "DescribeDBClusters",
                &scope.arn("cluster", "*"),
                &ConditionKeys::default(),
            )?;
            all(&ctx.state, &scope).cloned().collect()
        }
    };
    let filters = filters(
        ctx,
        &["clone-group-id", "db-cluster-id", "db-cluster-resource-id", "domain", "engine"],
    )?;
    let fits = |cluster: &Arc<DbCluster>| {
        filters.iter().all(|(name, values)| {
            values.iter().any(|value| match name.as_str() {
                "db-cluster-id" => cluster.name == scope.name_of("cluster", value),
                "db-cluster-resource-id" => cluster.resource_id.as_str() == value,
                "engine" => cluster.engine == *value,
                _ => false,
            })
        })
    };
    let clusters =
        clusters.into_iter().filter(fits).map(|cluster| (cluster.name.clone(), cluster)).collect();
    let (page, marker) = page(ctx, clusters)?;
    let mut xml = Xml::new();
    xml.list("DBClusters", "DBCluster", page, |xml, cluster| {
        write(xml, &ctx.state, &scope, &cluster)
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Returns the output for a cluster, with its current state.
pub(crate) fn current_output(
    ctx: &RequestContext<'_>,
    name: &str,
) -> Result<ActionOutput, ApiError> {
    let (scope, state) = (AccountRegion::of(ctx)?, ctx.api.store().state()?);
    let cluster = look_up(&state, &scope, name)?;
    Ok(output(&state, &scope, &cluster))
}

pub(crate) fn output(state: &State, scope: &AccountRegion, cluster: &DbCluster) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBCluster", |xml| write(xml, state, scope, cluster));
    xml.into()
}

/// Formats an endpoint for a response that has the cluster's port.
fn named(at: &Endpoint, port: Option<u16>) -> String {
    if port == Some(at.port) { at.host.to_string() } else { format!("{}:{}", at.host, at.port) }
}

/// Writes a `DBCluster`. Source of names: botocore's model of the RDS API.
fn write(xml: &mut Xml, state: &State, scope: &AccountRegion, cluster: &DbCluster) {
    let writer = writer_endpoint(state, cluster);
    let port = writer.as_ref().map(|writer| writer.port);
    let kept = cluster.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in kept.chain(
        DEFAULT_SETTINGS.into_iter().filter(|(name, _)| !cluster.settings.contains_key(*name)),
    ) {
        xml.leaf(name, value);
    }
    xml.leaf("CrossAccountClone", false).leaf("HttpEndpointEnabled", false);
    for list in EMPTY_LISTS {
        xml.texts(list, "member", [""; 0]);
    }
    xml.optional_leaf("DatabaseName", cluster.database.as_ref())
        .leaf("DBClusterIdentifier", &cluster.name)
        .leaf("Status", cluster.status.as_str());
    xml.optional_leaf("Endpoint", writer.as_ref().map(|writer| &writer.host));
    xml.optional_leaf(
        "ReaderEndpoint",
        reader_endpoint(state, cluster).map(|reader| named(&reader, port)),
    );
    let custom: Vec<String> = cluster
        .endpoints
        .values()
        .filter_map(|custom| Some(named(&custom_endpoint(state, cluster, custom)?, port)))
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
    xml.leaf("DBClusterArn", scope.arn("cluster", &cluster.name));
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
    write_tags(xml, &cluster.tags);
}
