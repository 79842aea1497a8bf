//! Proxies: a listener of their own in front of an instance, with a resource id of their own.
//!
//! AWS's model gives a proxy's endpoint no port: here it is `host:port`. `REQUIRED` and `ENABLED` both take tokens; a relay of
//! bytes can't refuse the passwords of users that the database lets in by password.

pub(super) mod target;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_core::name::{InstanceId, ResourceId};
use countersign_core::timestamp::rfc3339;

use super::instance::reached;
use super::proxy_listener;
use super::request::{
    AccountRegion, Facts, allow, allow_new, bad_combination, bad_value, error, filters, new_name,
    number, page, required, tags,
};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Xml;
use countersign_authority::model::{
    Address, DbProxy, Endpoint, Instance, ProxyAuth, instant, seconds,
};
use countersign_authority::random;
use countersign_authority::store::{Draft, State, StoreError, regional_key};

/// The most proxies of an account in a region. Source: "Quotas and constraints for Amazon RDS" in the RDS user guide.
const MAX_PROXIES: usize = 20;

/// The host of a proxy's endpoint: the servers' certificates are for it.
const HOST: &str = "localhost";

pub(super) fn not_found(name: &str) -> ApiError {
    ApiError::new("DBProxyNotFoundFault", 404, &format!("DBProxy {name} not found."))
}

/// The proxy that a request is about, if the caller may do `action` to it.
pub(super) fn allowed(
    call: &RequestContext<'_>,
    action: &str,
    name: &str,
) -> Result<Arc<DbProxy>, ApiError> {
    let place = AccountRegion::of(call)?;
    let found =
        call.state.db_proxies.get(&regional_key(&place.account, &place.region, name)).cloned();
    let id = found.as_ref().map_or("*", |proxy| proxy.resource_id.as_str());
    let facts =
        Facts { has: found.as_ref().map(|proxy| ("db-tag", &proxy.tags)), ..Facts::default() };
    allow(call, action, &place.arn("db-proxy", id), &facts)?;
    found.ok_or_else(|| not_found(name))
}

pub(super) fn record(
    draft: &Draft,
    place: &AccountRegion,
    name: &str,
) -> Result<DbProxy, ApiError> {
    let found = draft.db_proxies.get(&regional_key(&place.account, &place.region, name));
    found.map(|proxy| DbProxy::clone(proxy)).ok_or_else(|| not_found(name))
}

/// Every proxy of a place.
fn all<'a>(state: &'a State, place: &'a AccountRegion) -> impl Iterator<Item = &'a Arc<DbProxy>> {
    state.of_account::<DbProxy>(place.account.as_str()).filter(|proxy| proxy.region == place.region)
}

/// `CreateDBProxy`
pub(super) fn create(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let name = new_name("DBProxyName", required(call, "DBProxyName")?)?.to_string();
    let tags = tags(call.parameters)?;
    let facts = Facts { gives: Some(&tags), ..Facts::default() };
    allow_new(call, "CreateDBProxy", &place.arn("db-proxy", "*"), &facts)?;
    let runner = &call.api.jobs;
    runner.servers()?;
    let family = required(call, "EngineFamily")?;
    if !matches!(family, "POSTGRESQL" | "MYSQL") {
        return Err(bad_value(format!(
            "Invalid EngineFamily {family}: it must be POSTGRESQL or MYSQL."
        )));
    }
    let subnets: Vec<String> =
        call.parameters.list("VpcSubnetIds").into_iter().map(str::to_owned).collect();
    if subnets.is_empty() || subnets.len() > 20 {
        return Err(bad_value("VpcSubnetIds must name 1 to 20 subnets."));
    }
    let resource_id: ResourceId =
        format!("prx-{}", random::id("", 17)?.to_ascii_lowercase()).parse()?;
    let role = required(call, "RoleArn")?.to_owned();
    let (auth, settings) = (auth(call)?, settings(call)?);
    let runtime = runner.runtime()?;
    let relay = proxy_listener::listen(runner, runtime, &resource_id, None)
        .map_err(|error| ApiError::internal(&error))?;
    let now = seconds(call.now);
    let proxy = DbProxy {
        name: name.clone(),
        account: place.account.clone(),
        region: place.region.clone(),
        resource_id: resource_id.clone(),
        family: family.to_owned(),
        created: now,
        updated: now,
        role,
        subnets,
        auth,
        settings,
        port: relay.port,
        instance: None,
        cluster: None,
        tags,
        runner: runner.name().to_owned(),
    };
    runner.store().change(|draft| {
        if draft.db_proxies.contains_key(&regional_key(&place.account, &place.region, &name)) {
            return Err(error(
                "DBProxyAlreadyExistsFault",
                format!("DBProxy {name} already exists."),
            ));
        }
        if all(draft, &place).count() >= MAX_PROXIES {
            return Err(error(
                "DBProxyQuotaExceededFault",
                format!("Cannot create more than {MAX_PROXIES} proxies in a region."),
            ));
        }
        Ok(draft.put(proxy.clone()).map(drop)?)
    })?;
    runner.relays().keep(resource_id, relay);
    Ok(said(call, &place, &proxy))
}

/// How clients may authenticate. Source: UserAuthConfig in the RDS API reference.
fn auth(call: &RequestContext<'_>) -> Result<Vec<ProxyAuth>, ApiError> {
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
        call.parameters.structures("Auth").into_iter().map(read).collect::<Result<_, _>>()?;
    if auth.len() > 200 { Err(bad_value("Auth can have at most 200 entries.")) } else { Ok(auth) }
}

fn settings(call: &RequestContext<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    let mut settings = BTreeMap::new();
    for name in ["RequireTLS", "DebugLogging"] {
        settings
            .extend(call.parameters.flag(name)?.map(|flag| (name.to_owned(), flag.to_string())));
    }
    let idle = number(call, "IdleClientTimeout", 1, 28_800)?;
    settings.extend(idle.map(|idle| ("IdleClientTimeout".to_owned(), idle.to_string())));
    match call.parameters.text("DefaultAuthScheme") {
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
pub(super) fn modify(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (place, found) =
        (AccountRegion::of(call)?, allowed(call, "ModifyDBProxy", required(call, "DBProxyName")?)?);
    let (auth, settings) = (auth(call)?, settings(call)?);
    let proxy = call.api.store().change(|draft| {
        let mut proxy = record(draft, &place, &found.name)?;
        if call.parameters.has("Auth") {
            proxy.auth.clone_from(&auth);
        }
        proxy.settings.extend(settings.clone());
        if let Some(role) = call.parameters.text("RoleArn") {
            role.clone_into(&mut proxy.role);
        }
        proxy.updated = seconds(call.now);
        draft.put(proxy.clone())?;
        refresh(draft, &proxy)?;
        Ok::<_, ApiError>(proxy)
    })?;
    Ok(said(call, &place, &proxy))
}

/// `DeleteDBProxy`
pub(super) fn delete(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (place, found) =
        (AccountRegion::of(call)?, allowed(call, "DeleteDBProxy", required(call, "DBProxyName")?)?);
    let runner = &call.api.jobs;
    if found.runner != runner.name() {
        let message = format!(
            "The proxy {} is run by the authority {}: send the request there.",
            found.name, found.runner
        );
        return Err(error("InvalidDBProxyStateFault", message));
    }
    runner.store().change(|draft| {
        let proxy = record(draft, &place, &found.name)?;
        draft.remove::<DbProxy>(&regional_key(&place.account, &place.region, &found.name));
        refresh(draft, &proxy)?;
        Ok::<_, ApiError>(())
    })?;
    runner.relays().end(&found.resource_id);
    let mut xml = Xml::new();
    xml.element("DBProxy", |xml| put(xml, &place, &found, "deleting"));
    Ok(xml.into())
}

/// `DescribeDBProxies`
pub(super) fn describe(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    let found: Vec<Arc<DbProxy>> = match call.parameters.text("DBProxyName") {
        Some(name) => vec![allowed(call, "DescribeDBProxies", name)?],
        None => {
            allow(call, "DescribeDBProxies", &place.arn("db-proxy", "*"), &Facts::default())?;
            all(&call.state, &place).cloned().collect()
        }
    };
    filters(call, &[])?;
    let (page, marker) =
        page(call, found.into_iter().map(|proxy| (proxy.name.clone(), proxy)).collect())?;
    let mut xml = Xml::new();
    xml.list("DBProxies", "member", page, |xml, proxy| {
        put(xml, &place, &proxy, status(call, &proxy))
    });
    xml.optional_leaf("Marker", marker);
    Ok(xml.into())
}

/// Another authority's proxies are what that says.
fn status(call: &RequestContext<'_>, proxy: &DbProxy) -> &'static str {
    let runner = &call.api.jobs;
    if proxy.runner != runner.name() || runner.relays().runs(&proxy.resource_id) {
        "available"
    } else {
        "incompatible-network"
    }
}

fn said(call: &RequestContext<'_>, place: &AccountRegion, proxy: &DbProxy) -> ActionOutput {
    let mut xml = Xml::new();
    xml.element("DBProxy", |xml| put(xml, place, proxy, status(call, proxy)));
    xml.into()
}

/// Writes a `DBProxy`. Source of names: the model of the RDS API, as botocore has it.
fn put(xml: &mut Xml, place: &AccountRegion, proxy: &DbProxy, status: &str) {
    xml.leaf("DBProxyName", &proxy.name)
        .leaf("DBProxyArn", place.arn("db-proxy", proxy.resource_id.as_str()));
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
    for (name, usual) in [
        ("RequireTLS", "false"),
        ("IdleClientTimeout", "1800"),
        ("DebugLogging", "false"),
        ("DefaultAuthScheme", "NONE"),
    ] {
        xml.leaf(name, proxy.settings.get(name).map_or(usual, String::as_str));
    }
    xml.leaf("CreatedDate", rfc3339(instant(proxy.created)))
        .leaf("UpdatedDate", rfc3339(instant(proxy.updated)));
}

/// The name of the instance behind a proxy.
fn instance_behind(state: &State, proxy: &DbProxy) -> Option<InstanceId> {
    let writer = || {
        state
            .db_clusters
            .get(&regional_key(&proxy.account, &proxy.region, proxy.cluster.as_ref()?))?
            .writer
            .clone()
    };
    proxy.instance.clone().or_else(writer)
}

/// Where the connections of a proxy go.
pub(super) fn target(state: &State, id: &ResourceId) -> Option<Endpoint> {
    let proxy = state.db_proxies.values().find(|proxy| proxy.resource_id == *id)?;
    let instance = state.instances.get(instance_behind(state, proxy)?.as_str())?;
    match state.db_instances.get(instance.name.as_str()) {
        Some(db) => reached(db, Some(instance)),
        None => own_addresses(instance)
            .next()
            .map(|at| Endpoint { host: at.host.clone(), port: at.port }),
    }
}

fn own_addresses(instance: &Instance) -> impl Iterator<Item = &Address> {
    instance.addresses.iter().filter(|address| address.resource_id.is_none())
}

/// An instance with the addresses of the proxies in front of it: a token for one of those is decided on the proxy's resource.
pub(super) fn reached_through(state: &State, instance: Instance) -> Instance {
    let own: Vec<Address> = own_addresses(&instance).cloned().collect();
    let takes = |proxy: &&Arc<DbProxy>| {
        proxy.accepts_tokens() && instance_behind(state, proxy).as_ref() == Some(&instance.name)
    };
    let through = |proxy: &Arc<DbProxy>| {
        let (port, resource_id) = (proxy.port, Some(proxy.resource_id.clone()));
        own.iter()
            .map(|at| Address { host: at.host.clone(), port, resource_id: resource_id.clone() })
            .collect::<Vec<_>>()
    };
    let proxies: Vec<Address> = state.db_proxies.values().filter(takes).flat_map(through).collect();
    Instance { addresses: own.into_iter().chain(proxies).collect(), ..instance }
}

/// Has the verifier know what is behind a proxy, after the proxy has changed; it was as `proxy` says.
fn refresh(draft: &mut Draft, proxy: &DbProxy) -> Result<(), StoreError> {
    let behind =
        instance_behind(draft, proxy).and_then(|name| draft.instances.get(name.as_str()).cloned());
    if let Some(instance) = behind {
        let instance = reached_through(draft, Instance::clone(&instance));
        draft.put(instance)?;
    }
    Ok(())
}

/// Takes a target that goes away from the proxies in front of it.
pub(super) fn forget(
    draft: &mut Draft,
    mut is_behind: impl FnMut(&DbProxy) -> bool,
) -> Result<(), StoreError> {
    let before: Vec<DbProxy> = draft
        .db_proxies
        .values()
        .filter(|proxy| is_behind(proxy))
        .map(|proxy| DbProxy::clone(proxy))
        .collect();
    before.into_iter().try_for_each(|proxy| {
        draft.put(DbProxy { instance: None, cluster: None, ..proxy }).map(drop)
    })
}

/// Listens again for the proxies of this authority.
pub(super) fn listen_again(runner: &Arc<super::job_runner::JobRunner>, state: &State) {
    for proxy in state.db_proxies.values().filter(|proxy| proxy.runner == runner.name()) {
        let relay = runner.runtime().map_err(|error| error.message).and_then(|runtime| {
            proxy_listener::listen(runner, runtime, &proxy.resource_id, Some(proxy.port))
                .map_err(|error| error.to_string())
        });
        match relay {
            Ok(relay) => runner.relays().keep(proxy.resource_id.clone(), relay),
            Err(error) => {
                tracing::error!(proxy = %proxy.name, port = proxy.port, %error, "nobody listens for a proxy")
            }
        }
    }
}

/// Refuses another group than the one that each proxy has.
pub(super) fn check_group(call: &RequestContext<'_>) -> Result<(), ApiError> {
    match call.parameters.text("TargetGroupName") {
        None | Some("default") => Ok(()),
        Some(other) => Err(ApiError::new(
            "DBProxyTargetGroupNotFoundFault",
            404,
            &format!("The target group {other} was not found."),
        )),
    }
}

/// Refuses a target of another kind than the proxy's.
fn check_family(proxy: &DbProxy, engine: countersign_core::name::Engine) -> Result<(), ApiError> {
    let postgres = engine == countersign_core::name::Engine::Postgres;
    if (proxy.family == "POSTGRESQL") == postgres {
        return Ok(());
    }
    Err(bad_combination(format!(
        "The target's engine {engine} does not fit the proxy's family {}.",
        proxy.family
    )))
}
