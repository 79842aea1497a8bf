//! Custom endpoints of clusters: a name for some of the members. It leads to the first of them that is available.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_core::name::InstanceId;

use super::change::record;
use super::{allowed, members, named, reached_member, writer};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::instance::not_found as no_instance;
use crate::rds::request::{
    AccountRegion, Facts, allow, allow_new, bad_combination, bad_value, error, filters, new_name,
    page, required, tags,
};
use crate::xml::Xml;
use countersign_authority::model::{CustomEndpoint, DbCluster, DbInstance, DbStatus, Endpoint};
use countersign_authority::random;
use countersign_authority::store::State;

/// The most custom endpoints of a cluster. Source: "Quotas and constraints for Amazon Aurora" in the Aurora user guide.
const MAX_ENDPOINTS: usize = 5;

fn kind(call: &RequestContext<'_>) -> Result<Option<bool>, ApiError> {
    match call.parameters.text("EndpointType") {
        None => Ok(None),
        Some("ANY") => Ok(Some(true)),
        Some("READER") => Ok(Some(false)),
        Some(other) => {
            Err(bad_value(format!("Invalid EndpointType {other}: it must be READER or ANY.")))
        }
    }
}

/// The members that a list names.
fn listed(
    call: &RequestContext<'_>,
    cluster: &DbCluster,
    name: &str,
) -> Result<BTreeSet<InstanceId>, ApiError> {
    let find = |text: &str| {
        let text = text.to_ascii_lowercase();
        members(&call.state, cluster)
            .find(|db| db.name.as_str() == text)
            .map(|db| db.name.clone())
            .ok_or_else(|| no_instance(&text))
    };
    call.parameters.list(name).into_iter().map(find).collect()
}

/// `CreateDBClusterEndpoint`
pub(crate) fn create(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let cluster = allowed(call, "CreateDBClusterEndpoint", required(call, "DBClusterIdentifier")?)?;
    let name =
        new_name("DBClusterEndpointIdentifier", required(call, "DBClusterEndpointIdentifier")?)?
            .to_string();
    let tags = tags(call.parameters)?;
    let facts = Facts { gives: Some(&tags), ..Facts::default() };
    allow_new(call, "CreateDBClusterEndpoint", &place.arn("cluster-endpoint", &name), &facts)?;
    required(call, "EndpointType")?;
    let custom = CustomEndpoint {
        resource_id: random::id("cluster-endpoint-", 26)?,
        any: kind(call)?.unwrap_or(false),
        members: listed(call, &cluster, "StaticMembers")?,
        excluded: listed(call, &cluster, "ExcludedMembers")?,
        tags,
    };
    check_lists(&custom)?;
    call.api.store().change(|draft| {
        if super::all(draft, &place).any(|cluster| cluster.endpoints.contains_key(&name)) {
            return Err(error(
                "DBClusterEndpointAlreadyExistsFault",
                format!("DB cluster endpoint {name} already exists."),
            ));
        }
        let mut cluster = record(draft, &place, &cluster.name)?;
        if cluster.endpoints.len() >= MAX_ENDPOINTS {
            let message = format!("A cluster can have at most {MAX_ENDPOINTS} custom endpoints.");
            return Err(ApiError::new("DBClusterEndpointQuotaExceededFault", 403, &message));
        }
        cluster.endpoints.insert(name.clone(), custom.clone());
        Ok(draft.put(cluster).map(drop)?)
    })?;
    let mut xml = Xml::new();
    put_custom(&mut xml, &call.state, &place, &cluster, &name, &custom, "creating");
    Ok(xml.into())
}

fn check_lists(custom: &CustomEndpoint) -> Result<(), ApiError> {
    if custom.members.is_empty() || custom.excluded.is_empty() {
        return Ok(());
    }
    Err(bad_combination("StaticMembers and ExcludedMembers cannot be specified together."))
}

/// The endpoint of that name and its cluster, if the caller may do `action` to it.
fn found(
    call: &RequestContext<'_>,
    place: &AccountRegion,
    action: &str,
) -> Result<(String, Arc<DbCluster>, CustomEndpoint), ApiError> {
    let name = required(call, "DBClusterEndpointIdentifier")?.to_ascii_lowercase();
    let found = super::all(&call.state, place)
        .find_map(|cluster| Some((Arc::clone(cluster), cluster.endpoints.get(&name)?.clone())));
    let facts = Facts {
        has: found.as_ref().map(|(_, custom)| ("cluster-tag", &custom.tags)),
        ..Facts::default()
    };
    allow(call, action, &place.arn("cluster-endpoint", &name), &facts)?;
    let (cluster, custom) = found.ok_or_else(|| not_found(&name))?;
    Ok((name, cluster, custom))
}

fn not_found(name: &str) -> ApiError {
    error("DBClusterEndpointNotFoundFault", format!("DB cluster endpoint {name} not found."))
}

/// `ModifyDBClusterEndpoint`
pub(crate) fn modify(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let (name, cluster, _) = found(call, &place, "ModifyDBClusterEndpoint")?;
    let any = kind(call)?;
    let lists =
        [listed(call, &cluster, "StaticMembers")?, listed(call, &cluster, "ExcludedMembers")?];
    let [given_members, given_excluded] =
        ["StaticMembers", "ExcludedMembers"].map(|list| call.parameters.has(list));
    let custom = call.api.store().change(|draft| {
        let mut cluster = record(draft, &place, &cluster.name)?;
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
    put_custom(&mut xml, &call.state, &place, &cluster, &name, &custom, "available");
    Ok(xml.into())
}

/// `DeleteDBClusterEndpoint`
pub(crate) fn delete(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let (name, cluster, custom) = found(call, &place, "DeleteDBClusterEndpoint")?;
    call.api.store().change(|draft| {
        let mut cluster = record(draft, &place, &cluster.name)?;
        cluster.endpoints.remove(&name).ok_or_else(|| not_found(&name))?;
        draft.put(cluster)?;
        Ok::<_, ApiError>(())
    })?;
    let mut xml = Xml::new();
    put_custom(&mut xml, &call.state, &place, &cluster, &name, &custom, "deleting");
    Ok(xml.into())
}

/// One row of `DescribeDBClusterEndpoints`: the writer's and the reader's have no name of their own.
struct Row<'a> {
    cluster: &'a Arc<DbCluster>,
    kind: &'static str,
    custom: Option<(&'a String, &'a CustomEndpoint)>,
}

/// `DescribeDBClusterEndpoints`
pub(crate) fn describe(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let of = match call.parameters.text("DBClusterIdentifier") {
        Some(text) => Some(allowed(call, "DescribeDBClusterEndpoints", text)?),
        None => {
            allow(
                call,
                "DescribeDBClusterEndpoints",
                &place.arn("cluster", "*"),
                &Facts::default(),
            )?;
            None
        }
    };
    let wanted = call.parameters.text("DBClusterEndpointIdentifier").map(str::to_ascii_lowercase);
    let names = [
        "db-cluster-endpoint-type",
        "db-cluster-endpoint-custom-type",
        "db-cluster-endpoint-id",
        "db-cluster-endpoint-status",
    ];
    let filters = filters(call, &names)?;
    let clusters = super::all(&call.state, &place)
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
    let (page, marker) = page(call, rows)?;
    let mut xml = Xml::new();
    xml.list("DBClusterEndpoints", "DBClusterEndpointList", page, |xml, row| match row.custom {
        Some((name, custom)) => {
            put_custom(xml, &call.state, &place, row.cluster, name, custom, "available")
        }
        None => {
            let (state, cluster) = (&call.state, row.cluster);
            let (writer, reader) = (writer(state, cluster), super::reader(state, cluster));
            let port = writer.as_ref().map(|writer| writer.port);
            let at = if row.kind == "WRITER" { writer } else { reader };
            xml.leaf("DBClusterIdentifier", &cluster.name)
                .optional_leaf("Endpoint", at.as_ref().map(|at| named(at, port)));
            xml.leaf("Status", if at.is_some() { "available" } else { "inactive" })
                .leaf("EndpointType", row.kind);
        }
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
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

/// The first member that a custom endpoint leads to and that is available.
pub(super) fn target(
    state: &State,
    cluster: &DbCluster,
    custom: &CustomEndpoint,
) -> Option<Endpoint> {
    let leads = |db: &&Arc<DbInstance>| {
        let listed = if custom.members.is_empty() {
            !custom.excluded.contains(&db.name)
        } else {
            custom.members.contains(&db.name)
        };
        listed
            && (custom.any || Some(&db.name) != cluster.writer.as_ref())
            && db.status == DbStatus::Available
    };
    members(state, cluster).find(leads).and_then(|db| reached_member(state, db))
}

fn put_custom(
    xml: &mut Xml,
    state: &State,
    place: &AccountRegion,
    cluster: &DbCluster,
    name: &str,
    custom: &CustomEndpoint,
    status: &str,
) {
    let at = target(state, cluster, custom);
    let status = if at.is_none() && status == "available" { "inactive" } else { status };
    xml.leaf("DBClusterEndpointIdentifier", name).leaf("DBClusterIdentifier", &cluster.name);
    xml.leaf("DBClusterEndpointResourceIdentifier", &custom.resource_id);
    xml.optional_leaf(
        "Endpoint",
        at.map(|at| named(&at, writer(state, cluster).map(|writer| writer.port))),
    );
    xml.leaf("Status", status)
        .leaf("EndpointType", "CUSTOM")
        .leaf("CustomEndpointType", if custom.any { "ANY" } else { "READER" });
    xml.texts("StaticMembers", "member", &custom.members).texts(
        "ExcludedMembers",
        "member",
        &custom.excluded,
    );
    xml.leaf("DBClusterEndpointArn", place.arn("cluster-endpoint", name));
}
