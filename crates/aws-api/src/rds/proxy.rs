//! Proxies: listeners with a resource id of their own that forward to an instance.
//!
//! In AWS's model, a proxy's endpoint has no port: here it is `host:port`. Both `REQUIRED` and
//! `ENABLED` accept tokens. Since bytes are forwarded unchanged, the proxy cannot reject passwords
//! of users for whom the database accepts them.

pub(crate) mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_authority::model::{DbProxy, ProxyAuth, instant, seconds};
use countersign_authority::random;
use countersign_authority::store::regional_key;
use countersign_core::name::{Engine, ResourceId};
use countersign_core::timestamp::rfc3339;

use super::jobs::listen_for_proxy;
use super::records::proxy::{all, not_found, record, update_target_addresses};
use super::request::{
    AccountRegion, ConditionKeys, authorize, authorize_new, bad_combination, bad_value, error,
    filters, number, page, required, tags,
};
use super::validate::new_name;
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Xml;

/// Maximum number of proxies of an account in a region.
/// Source: "Quotas and constraints for Amazon RDS" in the RDS user guide.
const MAX_PROXIES: usize = 20;

/// Host of a proxy's endpoint; the servers' certificates include it.
const HOST: &str = "localhost";

/// Returns the proxy of a request, if the caller may perform `action` on it.
pub(crate) fn authorized(
    ctx: &RequestContext<'_>,
    action: &str,
    name: &str,
) -> Result<Arc<DbProxy>, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxy =
        ctx.state.db_proxies.get(&regional_key(&scope.account, &scope.region, name)).cloned();
    let id = proxy.as_ref().map_or("*", |proxy| proxy.resource_id.as_str());
    let condition_keys = ConditionKeys {
        resource_tags: proxy.as_ref().map(|proxy| ("db-tag", &proxy.tags)),
        ..ConditionKeys::default()
    };
    authorize(ctx, action, &scope.arn("db-proxy", id), &condition_keys)?;
    proxy.ok_or_else(|| not_found(name))
}

/// `CreateDBProxy`
pub(crate) fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let name = new_name("DBProxyName", required(ctx, "DBProxyName")?)?.to_string();
    let tags = tags(ctx.parameters)?;
    let condition_keys = ConditionKeys { request_tags: Some(&tags), ..ConditionKeys::default() };
    authorize_new(ctx, "CreateDBProxy", &scope.arn("db-proxy", "*"), &condition_keys)?;
    let runner = &ctx.api.jobs;
    runner.servers()?;
    let family = required(ctx, "EngineFamily")?;
    if !matches!(family, "POSTGRESQL" | "MYSQL") {
        return Err(bad_value(format!(
            "Invalid EngineFamily {family}: it must be POSTGRESQL or MYSQL."
        )));
    }
    let subnets: Vec<String> =
        ctx.parameters.list("VpcSubnetIds").into_iter().map(str::to_owned).collect();
    if subnets.is_empty() || subnets.len() > 20 {
        return Err(bad_value("VpcSubnetIds must name 1 to 20 subnets."));
    }
    let resource_id: ResourceId =
        format!("prx-{}", random::id("", 17)?.to_ascii_lowercase()).parse()?;
    let role = required(ctx, "RoleArn")?.to_owned();
    let (auth, settings) = (auth(ctx)?, settings(ctx)?);
    let listener =
        listen_for_proxy(runner, &resource_id, None).map_err(|error| ApiError::internal(&error))?;
    let now = seconds(ctx.now);
    let proxy = DbProxy {
        name: name.clone(),
        account: scope.account.clone(),
        region: scope.region.clone(),
        resource_id: resource_id.clone(),
        family: family.to_owned(),
        created: now,
        updated: now,
        role,
        subnets,
        auth,
        settings,
        port: listener.port,
        instance: None,
        cluster: None,
        tags,
        runner: runner.name().to_owned(),
    };
    runner.store().change(|draft| {
        if draft.db_proxies.contains_key(&regional_key(&scope.account, &scope.region, &name)) {
            return Err(error(
                "DBProxyAlreadyExistsFault",
                format!("DBProxy {name} already exists."),
            ));
        }
        if all(draft, &scope).count() >= MAX_PROXIES {
            return Err(error(
                "DBProxyQuotaExceededFault",
                format!("Cannot create more than {MAX_PROXIES} proxies in a region."),
            ));
        }
        Ok(draft.put(proxy.clone()).map(drop)?)
    })?;
    runner.listeners().insert(resource_id, listener);
    Ok(output(ctx, &scope, &proxy))
}

/// Returns the allowed methods of client authentication.
/// Source: UserAuthConfig in the RDS API reference.
fn auth(ctx: &RequestContext<'_>) -> Result<Vec<ProxyAuth>, ApiError> {
    let read = |given: Parameters| {
        let iam = given.text("IAMAuth").unwrap_or("DISABLED").to_owned();
        if !matches!(iam.as_str(), "REQUIRED" | "ENABLED" | "DISABLED") {
            return Err(bad_value(format!(
                "Invalid IAMAuth {iam}: it must be REQUIRED, ENABLED or DISABLED."
            )));
        }
        let names =
            ["AuthScheme", "ClientPasswordAuthType", "Description", "SecretArn", "UserName"];
        let kept = names
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), given.text(name)?.to_owned())))
            .collect();
        Ok(ProxyAuth { iam, settings: kept })
    };
    let auth: Vec<ProxyAuth> =
        ctx.parameters.structures("Auth").into_iter().map(read).collect::<Result<_, _>>()?;
    if auth.len() > 200 { Err(bad_value("Auth can have at most 200 entries.")) } else { Ok(auth) }
}

fn settings(ctx: &RequestContext<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut settings = BTreeMap::new();
    for name in ["RequireTLS", "DebugLogging"] {
        settings.extend(ctx.parameters.flag(name)?.map(|flag| (name.to_owned(), flag.to_string())));
    }
    let idle = number(ctx, "IdleClientTimeout", 1, 28_800)?;
    settings.extend(idle.map(|idle| ("IdleClientTimeout".to_owned(), idle.to_string())));
    match ctx.parameters.text("DefaultAuthScheme") {
        Some(scheme @ ("IAM_AUTH" | "NONE")) => {
            drop(settings.insert("DefaultAuthScheme".to_owned(), scheme.to_owned()))
        }
        Some(other) => {
            return Err(bad_value(format!(
                "Invalid DefaultAuthScheme {other}: it must be IAM_AUTH or NONE."
            )));
        }
        None => {}
    }
    Ok(settings)
}

/// `ModifyDBProxy`
pub(crate) fn modify(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (scope, requested) =
        (AccountRegion::of(ctx)?, authorized(ctx, "ModifyDBProxy", required(ctx, "DBProxyName")?)?);
    let (auth, settings) = (auth(ctx)?, settings(ctx)?);
    let proxy = ctx.api.store().change(|draft| {
        let mut proxy = record(draft, &scope, &requested.name)?;
        if ctx.parameters.has("Auth") {
            proxy.auth.clone_from(&auth);
        }
        proxy.settings.extend(settings.clone());
        if let Some(role) = ctx.parameters.text("RoleArn") {
            role.clone_into(&mut proxy.role);
        }
        proxy.updated = seconds(ctx.now);
        draft.put(proxy.clone())?;
        update_target_addresses(draft, &proxy)?;
        Ok::<_, ApiError>(proxy)
    })?;
    Ok(output(ctx, &scope, &proxy))
}

/// `DeleteDBProxy`
pub(crate) fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (scope, requested) =
        (AccountRegion::of(ctx)?, authorized(ctx, "DeleteDBProxy", required(ctx, "DBProxyName")?)?);
    let runner = &ctx.api.jobs;
    if requested.runner != runner.name() {
        let message = format!(
            "The proxy {} is run by the authority {}: send the request there.",
            requested.name, requested.runner
        );
        return Err(error("InvalidDBProxyStateFault", message));
    }
    runner.store().change(|draft| {
        let proxy = record(draft, &scope, &requested.name)?;
        draft.remove::<DbProxy>(&regional_key(&scope.account, &scope.region, &requested.name));
        update_target_addresses(draft, &proxy)?;
        Ok::<_, ApiError>(())
    })?;
    runner.listeners().remove(&requested.resource_id);
    let mut xml = Xml::new();
    xml.element("DBProxy", |xml| write(xml, &scope, &requested, "deleting"));
    Ok(xml.into())
}

/// `DescribeDBProxies`
pub(crate) fn describe(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    let proxies: Vec<Arc<DbProxy>> = match ctx.parameters.text("DBProxyName") {
        Some(name) => vec![authorized(ctx, "DescribeDBProxies", name)?],
        None => {
            authorize(
                ctx,
                "DescribeDBProxies",
                &scope.arn("db-proxy", "*"),
                &ConditionKeys::default(),
            )?;
            all(&ctx.state, &scope).cloned().collect()
        }
    };
    filters(ctx, &[])?;
    let (page, marker) =
        page(ctx, proxies.into_iter().map(|proxy| (proxy.name.clone(), proxy)).collect())?;
    let mut xml = Xml::new();
    xml.list("DBProxies", "member", page, |xml, proxy| {
        write(xml, &scope, &proxy, status(ctx, &proxy))
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Returns the status of a proxy; that of another authority's proxy is assumed to be available.
fn status(ctx: &RequestContext<'_>, proxy: &DbProxy) -> &'static str {
    let runner = &ctx.api.jobs;
    if proxy.runner != runner.name() || runner.listeners().contains(&proxy.resource_id) {
        "available"
    } else {
        "incompatible-network"
    }
}

fn output(ctx: &RequestContext<'_>, scope: &AccountRegion, proxy: &DbProxy) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBProxy", |xml| write(xml, scope, proxy, status(ctx, proxy)));
    xml.into()
}

/// Writes a `DBProxy`. Source of names: botocore's model of the RDS API.
fn write(xml: &mut Xml, scope: &AccountRegion, proxy: &DbProxy, status: &str) {
    xml.leaf("DBProxyName", &proxy.name)
        .leaf("DBProxyArn", scope.arn("db-proxy", proxy.resource_id.as_str()));
    xml.leaf("Status", status).leaf("EngineFamily", &proxy.family);
    xml.texts("VpcSecurityGroupIds", "member", [""; 0]).texts(
        "VpcSubnetIds",
        "member",
        &proxy.subnets,
    );
    xml.list("Auth", "member", &proxy.auth, |xml, auth| {
        for (name, value) in &auth.settings {
            xml.leaf(name, value);
        }
        xml.leaf("IAMAuth", &auth.iam);
    });
    xml.leaf("RoleArn", &proxy.role).leaf("Endpoint", format!("{HOST}:{}", proxy.port));
    for (name, default) in [
        ("RequireTLS", "false"),
        ("IdleClientTimeout", "1800"),
        ("DebugLogging", "false"),
        ("DefaultAuthScheme", "NONE"),
    ] {
        xml.leaf(name, proxy.settings.get(name).map_or(default, String::as_str));
    }
    xml.leaf("CreatedDate", rfc3339(instant(proxy.created)))
        .leaf("UpdatedDate", rfc3339(instant(proxy.updated)));
}

/// Returns an error for another target group than the one that each proxy has.
pub(crate) fn check_group(ctx: &RequestContext<'_>) -> Result<(), ApiError> {
    match ctx.parameters.text("TargetGroupName") {
        None | Some("default") => Ok(()),
        Some(other) => Err(ApiError::new(
            "DBProxyTargetGroupNotFoundFault",
            404,
            &format!("The target group {other} was not found."),
        )),
    }
}

/// Returns an error if the target's engine does not fit the proxy's family.
fn check_family(proxy: &DbProxy, engine: Engine) -> Result<(), ApiError> {
    let postgres = engine == Engine::Postgres;
    if (proxy.family == "POSTGRESQL") == postgres {
        return Ok(());
    }
    Err(bad_combination(format!(
        "The target's engine {engine} does not fit the proxy's family {}.",
        proxy.family
    )))
}
