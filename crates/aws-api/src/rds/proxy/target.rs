//! Targets of proxies: one instance, or one cluster's writer.

use std::sync::Arc;

use countersign_authority::model::{DbCluster, DbProxy, DbStatus, instant, seconds};
use countersign_authority::store::State;
use countersign_core::timestamp::rfc3339;

use super::{authorized, check_family, check_group};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::rds::records::cluster::look_up;
use crate::rds::records::proxy::{record, update_target_addresses};
use crate::rds::request::{
    AccountRegion, ConditionKeys, authorize, bad_combination, error, filters, page, required,
};
use crate::rds::validate::engine;
use crate::rds::{cluster, instance};
use crate::xml::Xml;

/// Returns the id of a proxy's only target group.
fn group(proxy: &DbProxy) -> String {
    format!("prx-tg-{}", proxy.resource_id.as_str().trim_start_matches("prx-"))
}

/// Returns the proxy of a request, if the caller may perform `action` on it and its target group.
fn grouped(
    ctx: &RequestContext<'_>,
    scope: &AccountRegion,
    action: &str,
) -> Result<Arc<DbProxy>, ApiError> {
    let proxy = authorized(ctx, action, required(ctx, "DBProxyName")?)?;
    let condition_keys =
        ConditionKeys { resource_tags: Some(("db-tag", &proxy.tags)), ..ConditionKeys::default() };
    authorize(ctx, action, &scope.arn("target-group", &group(&proxy)), &condition_keys)?;
    check_group(ctx)?;
    Ok(proxy)
}

/// Target in a request.
enum Named {
    Instance(instance::InstanceView),
    Cluster(Arc<DbCluster>),
}

fn named(ctx: &RequestContext<'_>, action: &str) -> Result<Named, ApiError> {
    match (
        &*ctx.parameters.list("DBInstanceIdentifiers"),
        &*ctx.parameters.list("DBClusterIdentifiers"),
    ) {
        ([name], []) => instance::authorized(ctx, action, name).map(Named::Instance),
        ([], [name]) => cluster::authorized(ctx, action, name).map(Named::Cluster),
        _ => Err(bad_combination("Exactly one DB instance or one DB cluster must be named.")),
    }
}

/// `RegisterDBProxyTargets`
pub(crate) fn register(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxy = grouped(ctx, &scope, "RegisterDBProxyTargets")?;
    let named = named(ctx, "RegisterDBProxyTargets")?;
    let kind = match &named {
        Named::Instance(view) => engine(&view.db.engine)?,
        Named::Cluster(cluster) => engine(&cluster.engine)?,
    };
    check_family(&proxy, kind)?;
    if let Named::Instance(instance::InstanceView { db, .. }) = &named
        && db.status != DbStatus::Available
    {
        return Err(error(
            "InvalidDBInstanceState",
            format!("DBInstance {} is not available: it is {}.", db.name, db.status.as_str()),
        ));
    }
    let proxy = ctx.api.store().change(|draft| {
        let mut proxy = record(draft, &scope, &proxy.name)?;
        if proxy.instance.is_some() || proxy.cluster.is_some() {
            let message =
                format!("The proxy {} has a target already: deregister it first.", proxy.name);
            return Err(error("DBProxyTargetAlreadyRegisteredFault", message));
        }
        match &named {
            Named::Instance(view) => proxy.instance = Some(view.db.name.clone()),
            Named::Cluster(cluster) => proxy.cluster = Some(cluster.name.clone()),
        }
        proxy.updated = seconds(ctx.now);
        draft.put(proxy.clone())?;
        update_target_addresses(draft, &proxy)?;
        Ok(proxy)
    })?;
    let mut xml = Xml::new();
    write_targets(
        &mut xml,
        "DBProxyTargets",
        ctx,
        &*ctx.api.store().state()?,
        &scope,
        rows(&proxy),
    );
    Ok(xml.into())
}

/// `DeregisterDBProxyTargets`
pub(crate) fn deregister(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxy = grouped(ctx, &scope, "DeregisterDBProxyTargets")?;
    let named = named(ctx, "DeregisterDBProxyTargets")?;
    ctx.api.store().change(|draft| {
        let proxy = record(draft, &scope, &proxy.name)?;
        let is_target = match &named {
            Named::Instance(view) => proxy.instance.as_ref() == Some(&view.db.name),
            Named::Cluster(cluster) => proxy.cluster.as_ref() == Some(&cluster.name),
        };
        if !is_target {
            let message = format!("The target is not registered with the proxy {}.", proxy.name);
            return Err(ApiError::new("DBProxyTargetNotFoundFault", 404, &message));
        }
        draft.put(DbProxy {
            instance: None,
            cluster: None,
            updated: seconds(ctx.now),
            ..proxy.clone()
        })?;
        Ok(update_target_addresses(draft, &proxy)?)
    })?;
    Ok(Xml::new().into())
}

/// Target in a list.
enum Row {
    Instance(String),
    Cluster(String),
}

fn rows(proxy: &DbProxy) -> Vec<Row> {
    let instance = proxy.instance.as_ref().map(|name| Row::Instance(name.to_string()));
    instance.into_iter().chain(proxy.cluster.clone().map(Row::Cluster)).collect()
}

/// `DescribeDBProxyTargets`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxy = grouped(ctx, &scope, "DescribeDBProxyTargets")?;
    filters(ctx, &[])?;
    let (page, marker) =
        page(ctx, rows(&proxy).into_iter().map(|row| (String::from("1"), row)).collect())?;
    let mut xml = Xml::new();
    write_targets(&mut xml, "Targets", ctx, &ctx.state, &scope, page);
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Writes targets; a cluster is followed by its writer.
fn write_targets(
    xml: &mut Xml,
    list: &str,
    ctx: &RequestContext<'_>,
    state: &State,
    scope: &AccountRegion,
    rows: Vec<Row>,
) {
    let mut expanded = Vec::new();
    for row in rows {
        let writer = match &row {
            Row::Cluster(name) => {
                look_up(state, scope, name).ok().and_then(|cluster| cluster.writer.clone())
            }
            Row::Instance(_) => None,
        };
        let tracked = writer
            .is_some()
            .then(|| if let Row::Cluster(name) = &row { name.clone() } else { String::new() });
        expanded.push((row, None));
        expanded.extend(writer.map(|writer| (Row::Instance(writer.to_string()), tracked)));
    }
    xml.list(list, "member", expanded, |xml, (row, tracked)| match row {
        Row::Cluster(name) => {
            xml.leaf("RdsResourceId", &name)
                .leaf("TargetArn", scope.arn("cluster", &name))
                .leaf("Type", "TRACKED_CLUSTER");
        }
        Row::Instance(name) => {
            let view = instance::look_up(state, &ctx.api.jobs, scope, &name);
            if let Some(at) = view.as_ref().and_then(instance::InstanceView::endpoint) {
                xml.leaf("Endpoint", at.host).leaf("Port", at.port);
            }
            xml.leaf("RdsResourceId", &name)
                .leaf("TargetArn", scope.arn("db", &name))
                .leaf("Type", "RDS_INSTANCE");
            xml.leaf("Role", "READ_WRITE").optional_leaf("TrackedClusterId", tracked);
            let available = view.is_some_and(|view| view.db.status == DbStatus::Available);
            xml.element("TargetHealth", |xml| {
                xml.leaf("State", if available { "AVAILABLE" } else { "UNAVAILABLE" });
                xml.optional_leaf("Reason", (!available).then_some("UNREACHABLE"));
            });
        }
    });
}

/// `DescribeDBProxyTargetGroups`
pub(crate) fn describe_groups(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxy = grouped(ctx, &scope, "DescribeDBProxyTargetGroups")?;
    filters(ctx, &[])?;
    let (page, marker) = page(ctx, vec![("default".to_owned(), proxy)])?;
    let mut xml = Xml::new();
    xml.list("TargetGroups", "member", page, |xml, proxy| {
        xml.leaf("DBProxyName", &proxy.name).leaf("TargetGroupName", "default");
        xml.leaf("TargetGroupArn", scope.arn("target-group", &group(&proxy)))
            .leaf("IsDefault", "true")
            .leaf("Status", "available");
        xml.leaf("CreatedDate", rfc3339(instant(proxy.created)))
            .leaf("UpdatedDate", rfc3339(instant(proxy.updated)));
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}
