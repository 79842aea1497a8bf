//! Custom endpoints of clusters: a name for some of the members. It resolves to the first available
//! one.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_authority::model::{CustomEndpoint, DbCluster};
use countersign_authority::random;
use countersign_authority::store::State;
use countersign_core::name::InstanceId;

use super::{authorized, named};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::records::cluster::{
    all, custom_endpoint, members, reader_endpoint, record, writer_endpoint,
};
use crate::rds::records::instance::not_found as instance_not_found;
use crate::rds::request::{
    AccountRegion, ConditionKeys, authorize, authorize_new, bad_combination, bad_value, error,
    filters, page, required, tags,
};
use crate::rds::validate::new_name;
use crate::xml::Xml;

/// Maximum number of custom endpoints of a cluster.
/// Source: "Quotas and constraints for Amazon Aurora" in the Aurora user guide.
const MAX_ENDPOINTS: usize = 5;

fn kind(ctx: &RequestContext<'_>) -> Result<Option<bool>, ApiError> {
    match ctx.parameters.text("EndpointType") {
        None => Ok(None),
        Some("ANY") => Ok(Some(true)),
        Some("READER") => Ok(Some(false)),
        Some(other) => {
            Err(bad_value(format!("Invalid EndpointType {other}: it must be READER or ANY.")))
        }
    }
}

/// Returns the members in a list parameter.
fn listed(
    ctx: &RequestContext<'_>,
    cluster: &DbCluster,
    name: &str,
) -> Result<BTreeSet<InstanceId>, ApiError> {
    let find = |text: &str| {
        let text = text.to_ascii_lowercase();
        members(&ctx.state, cluster)
            .find(|db| db.name.as_str() == text)
            .map(|db| db.name.clone())
            .ok_or_else(|| instance_not_found(&text))
    };
    ctx.parameters.list(name).into_iter().map(find).collect()
}

/// `CreateDBClusterEndpoint`
pub(crate) fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let cluster =
        authorized(ctx, "CreateDBClusterEndpoint", required(ctx, "DBClusterIdentifier")?)?;
    let name =
        new_name("DBClusterEndpointIdentifier", required(ctx, "DBClusterEndpointIdentifier")?)?
            .to_string();
    let tags = tags(ctx.parameters)?;
    let condition_keys = ConditionKeys { request_tags: Some(&tags), ..ConditionKeys::default() };
    authorize_new(
        ctx,
        "CreateDBClusterEndpoint",
        &scope.arn("cluster-endpoint", &name),
        &condition_keys,
    )?;
    required(ctx, "EndpointType")?;
    let custom = CustomEndpoint {
        resource_id: random::id("cluster-endpoint-", 26)?,
        any: kind(ctx)?.unwrap_or(false),
        members: listed(ctx, &cluster, "StaticMembers")?,
        excluded: listed(ctx, &cluster, "ExcludedMembers")?,
        tags,
    };
    check_lists(&custom)?;
    ctx.api.store().change(|draft| {
        if all(draft, &scope).any(|cluster| cluster.endpoints.contains_key(&name)) {
            return Err(error(
                "DBClusterEndpointAlreadyExistsFault",
                format!("DB cluster endpoint {name} already exists."),
            ));
        }
        let mut cluster = record(draft, &scope, &cluster.name)?;
        if cluster.endpoints.len() >= MAX_ENDPOINTS {
            let message = format!("A cluster can have at most {MAX_ENDPOINTS} custom endpoints.");
            return Err(ApiError::new("DBClusterEndpointQuotaExceededFault", 403, &message));
        }
        cluster.endpoints.insert(name.clone(), custom.clone());
        Ok(draft.put(cluster).map(drop)?)
    })?;
    let mut xml = Xml::new();
    write_custom(&mut xml, &ctx.state, &scope, &cluster, &name, &custom, "creating");
    Ok(xml.into())
}

fn check_lists(custom: &CustomEndpoint) -> Result<(), ApiError> {
    if custom.members.is_empty() || custom.excluded.is_empty() {
        return Ok(());
    }
    Err(bad_combination("StaticMembers and ExcludedMembers cannot be specified together."))
}

/// Returns the endpoint of a request and its cluster, if the caller may perform `action` on it.
fn authorized_endpoint(
    ctx: &RequestContext<'_>,
    scope: &AccountRegion,
    action: &str,
) -> Result<(String, Arc<DbCluster>, CustomEndpoint), ApiError> {
    let name = required(ctx, "DBClusterEndpointIdentifier")?.to_ascii_lowercase();
    let endpoint = all(&ctx.state, scope)
        .find_map(|cluster| Some((Arc::clone(cluster), cluster.endpoints.get(&name)?.clone())));
    let condition_keys = ConditionKeys {
        resource_tags: endpoint.as_ref().map(|(_, custom)| ("cluster-tag", &custom.tags)),
        ..ConditionKeys::default()
    };
    authorize(ctx, action, &scope.arn("cluster-endpoint", &name), &condition_keys)?;
    let (cluster, custom) = endpoint.ok_or_else(|| not_found(&name))?;
    Ok((name, cluster, custom))
}

fn not_found(name: &str) -> ApiError {
    error("DBClusterEndpointNotFoundFault", format!("DB cluster endpoint {name} not found."))
}

/// `ModifyDBClusterEndpoint`
pub(crate) fn modify(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let (name, cluster, _) = authorized_endpoint(ctx, &scope, "ModifyDBClusterEndpoint")?;
    let any = kind(ctx)?;
    let lists =
        [listed(ctx, &cluster, "StaticMembers")?, listed(ctx, &cluster, "ExcludedMembers")?];
    let [given_members, given_excluded] =
        ["StaticMembers", "ExcludedMembers"].map(|list| ctx.parameters.has(list));
    let custom = ctx.api.store().change(|draft| {
        let mut cluster = record(draft, &scope, &cluster.name)?;
        let custom = cluster.endpoints.get_mut(&name).ok_or_else(|| not_found(&name))?;
        custom.any = any.unwrap_or(custom.any);
        let [members, excluded] = lists.clone();
        if given_members || given_excluded {
            (custom.members, custom.excluded) = (members, excluded);
        }
        check_lists(custom)?;
        let custom = custom.clone();
        draft.put(cluster)?;
        Ok::<_, ApiError>(custom)
    })?;
    let mut xml = Xml::new();
    write_custom(&mut xml, &ctx.state, &scope, &cluster, &name, &custom, "available");
    Ok(xml.into())
}

/// `DeleteDBClusterEndpoint`
pub(crate) fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let (name, cluster, custom) = authorized_endpoint(ctx, &scope, "DeleteDBClusterEndpoint")?;
    ctx.api.store().change(|draft| {
        let mut cluster = record(draft, &scope, &cluster.name)?;
        cluster.endpoints.remove(&name).ok_or_else(|| not_found(&name))?;
        draft.put(cluster)?;
        Ok::<_, ApiError>(())
    })?;
    let mut xml = Xml::new();
    write_custom(&mut xml, &ctx.state, &scope, &cluster, &name, &custom, "deleting");
    Ok(xml.into())
}

/// Row of `DescribeDBClusterEndpoints`; the writer and reader endpoints have no name of their own.
struct Row<'a> {
    cluster: &'a Arc<DbCluster>,
    kind: &'static str,
    custom: Option<(&'a String, &'a CustomEndpoint)>,
}

/// `DescribeDBClusterEndpoints`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let of = match ctx.parameters.text("DBClusterIdentifier") {
        Some(text) => Some(authorized(ctx, "DescribeDBClusterEndpoints", text)?),
        None => {
            authorize(
                ctx,
                "DescribeDBClusterEndpoints",
                &scope.arn("cluster", "*"),
                &ConditionKeys::default(),
            )?;
            None
        }
    };
    let wanted = ctx.parameters.text("DBClusterEndpointIdentifier").map(str::to_ascii_lowercase);
    let names = [
        "db-cluster-endpoint-type",
        "db-cluster-endpoint-custom-type",
        "db-cluster-endpoint-id",
        "db-cluster-endpoint-status",
    ];
    let filters = filters(ctx, &names)?;
    let clusters = all(&ctx.state, &scope)
        .filter(|cluster| of.as_ref().is_none_or(|of| of.name == cluster.name));
    let mut rows = Vec::new();
    for cluster in clusters {
        let fixed = [("WRITER", None), ("READER", None)];
        for (kind, custom) in
            fixed.into_iter().chain(cluster.endpoints.iter().map(|custom| ("CUSTOM", Some(custom))))
        {
            let row = Row { cluster, kind, custom };
            let named = wanted
                .as_ref()
                .is_none_or(|wanted| row.custom.is_some_and(|(name, _)| name == wanted));
            if named && fits(&row, &filters) {
                rows.push((
                    format!("{}/{kind}/{}", cluster.name, row.custom.map_or("", |(name, _)| name)),
                    row,
                ));
            }
        }
    }
    rows.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (page, marker) = page(ctx, rows)?;
    let mut xml = Xml::new();
    xml.list("DBClusterEndpoints", "DBClusterEndpointList", page, |xml, row| match row.custom {
        Some((name, custom)) => {
            write_custom(xml, &ctx.state, &scope, row.cluster, name, custom, "available")
        }
        None => write_builtin(xml, &ctx.state, row.cluster, row.kind),
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Writes the writer or reader endpoint of a cluster.
fn write_builtin(xml: &mut Xml, state: &State, cluster: &DbCluster, kind: &str) {
    let (writer, reader) = (writer_endpoint(state, cluster), reader_endpoint(state, cluster));
    let port = writer.as_ref().map(|writer| writer.port);
    let endpoint = if kind == "WRITER" { writer } else { reader };
    xml.leaf("DBClusterIdentifier", &cluster.name)
        .optional_leaf("Endpoint", endpoint.as_ref().map(|endpoint| named(endpoint, port)));
    xml.leaf("Status", if endpoint.is_some() { "available" } else { "inactive" })
        .leaf("EndpointType", kind);
}

fn fits(row: &Row<'_>, filters: &[(String, Vec<String>)]) -> bool {
    let custom_kind = row.custom.map(|(_, custom)| if custom.any { "any" } else { "reader" });
    filters.iter().all(|(name, values)| {
        values.iter().any(|value| match name.as_str() {
            "db-cluster-endpoint-type" => row.kind.eq_ignore_ascii_case(value),
            "db-cluster-endpoint-custom-type" => {
                custom_kind.is_some_and(|kind| kind.eq_ignore_ascii_case(value))
            }
            "db-cluster-endpoint-id" => row.custom.is_some_and(|(name, _)| name == value),
            _ => value == "available",
        })
    })
}

fn write_custom(
    xml: &mut Xml,
    state: &State,
    scope: &AccountRegion,
    cluster: &DbCluster,
    name: &str,
    custom: &CustomEndpoint,
    status: &str,
) {
    let at = custom_endpoint(state, cluster, custom);
    let status = if at.is_none() && status == "available" { "inactive" } else { status };
    xml.leaf("DBClusterEndpointIdentifier", name).leaf("DBClusterIdentifier", &cluster.name);
    xml.leaf("DBClusterEndpointResourceIdentifier", &custom.resource_id);
    xml.optional_leaf(
        "Endpoint",
        at.map(|at| named(&at, writer_endpoint(state, cluster).map(|writer| writer.port))),
    );
    xml.leaf("Status", status)
        .leaf("EndpointType", "CUSTOM")
        .leaf("CustomEndpointType", if custom.any { "ANY" } else { "READER" });
    xml.texts("StaticMembers", "member", &custom.members).texts(
        "ExcludedMembers",
        "member",
        &custom.excluded,
    );
    xml.leaf("DBClusterEndpointArn", scope.arn("cluster-endpoint", name));
}
