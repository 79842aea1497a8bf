//! Tags of resources.

use countersign_authority::model::Tags;
use countersign_authority::store::{Draft, State};
use countersign_core::name::InstanceId;

use super::instance::look_up;
use super::records::instance::{invalid_state, not_found, record};
use super::records::{cluster, proxy};
use super::request::{
    AccountRegion, ConditionKeys, authorize, bad_value, check_count, required, tags, write_tags,
};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;

/// Resource that has tags.
#[derive(Debug, Clone)]
enum Tagged {
    Instance(InstanceId),
    Cluster(String),
    Endpoint { cluster: String, name: String },
    Proxy(String),
}

/// Returns the resource of an ARN in this account and region, its tags, and true if the API created
/// it.
fn find(
    ctx: &RequestContext<'_>,
    state: &State,
    scope: &AccountRegion,
    arn: &str,
) -> Result<(Tagged, Tags, bool), ApiError> {
    let named = |kind: &str| arn.strip_prefix(&scope.arn(kind, ""));
    if let Some(name) = named("db") {
        let view = look_up(state, &ctx.api.jobs, scope, name).ok_or_else(|| not_found(name))?;
        return Ok((
            Tagged::Instance(view.db.name.clone()),
            view.db.tags.clone(),
            view.created_by_api,
        ));
    }
    if let Some(name) = named("cluster") {
        let cluster = cluster::look_up(state, scope, name)?;
        return Ok((Tagged::Cluster(cluster.name.clone()), cluster.tags.clone(), true));
    }
    if let Some(name) = named("cluster-endpoint") {
        let endpoint = cluster::all(state, scope)
            .find_map(|cluster| Some((cluster, cluster.endpoints.get(name)?)));
        let missing = || {
            ApiError::new(
                "DBClusterEndpointNotFoundFault",
                400,
                &format!("DB cluster endpoint {name} not found."),
            )
        };
        let (cluster, custom) = endpoint.ok_or_else(missing)?;
        return Ok((
            Tagged::Endpoint { cluster: cluster.name.clone(), name: name.to_owned() },
            custom.tags.clone(),
            true,
        ));
    }
    if let Some(id) = named("db-proxy") {
        let proxy = state.db_proxies.values().find(|proxy| {
            proxy.resource_id.as_str() == id && scope.has(&proxy.account, &proxy.region)
        });
        let proxy = proxy.ok_or_else(|| proxy::not_found(id))?;
        return Ok((Tagged::Proxy(proxy.name.clone()), proxy.tags.clone(), true));
    }
    Err(bad_value(format!(
        "Invalid resource name: {arn}. It is the ARN of a db, cluster, cluster-endpoint or \
         db-proxy of this account and region."
    )))
}

/// Returns the resource of a request, if the caller may perform `action` on it.
fn authorized(
    ctx: &RequestContext<'_>,
    action: &str,
    request_tags: Option<&Tags>,
    tag_keys: Vec<String>,
) -> Result<(Tagged, Tags, bool), ApiError> {
    let (scope, arn) = (AccountRegion::of(ctx)?, required(ctx, "ResourceName")?);
    let resource = find(ctx, &ctx.state, &scope, arn);
    let resource_tags = resource.as_ref().ok().map(|(tagged, tags, _)| {
        (if matches!(tagged, Tagged::Cluster(_)) { "cluster-tag" } else { "db-tag" }, tags)
    });
    authorize(
        ctx,
        action,
        arn,
        &ConditionKeys { resource_tags, request_tags, tag_keys, other: Vec::new() },
    )?;
    resource
}

/// `ListTagsForResource`
pub(crate) fn list(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (_, tags, _) = authorized(ctx, "ListTagsForResource", None, Vec::new())?;
    let mut xml = Xml::new();
    write_tags(&mut xml, &tags);
    Ok(xml.into())
}

/// `AddTagsToResource`
pub(crate) fn add(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let added = tags(ctx.parameters)?;
    let (tagged, _, created_by_api) =
        authorized(ctx, "AddTagsToResource", Some(&added), Vec::new())?;
    change(ctx, &tagged, created_by_api, |tags| tags.extend(added.clone()))
}

/// `RemoveTagsFromResource`
pub(crate) fn remove(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let keys: Vec<String> = ctx.parameters.list("TagKeys").into_iter().map(str::to_owned).collect();
    let (tagged, _, created_by_api) =
        authorized(ctx, "RemoveTagsFromResource", None, keys.clone())?;
    change(ctx, &tagged, created_by_api, |tags| tags.retain(|key, _| !keys.contains(key)))
}

fn change(
    ctx: &RequestContext<'_>,
    tagged: &Tagged,
    created_by_api: bool,
    change: impl Fn(&mut Tags),
) -> Result<ActionOutput, ApiError> {
    let scope = AccountRegion::of(ctx)?;
    if !created_by_api {
        return Err(invalid_state(
            "The instance was not created through this API, but by `countersign local`, and has \
             no tags.",
        ));
    }
    ctx.api.store().change(|draft| write(draft, &scope, tagged, &change))?;
    Ok(ActionOutput::Empty)
}

fn write(
    draft: &mut Draft,
    scope: &AccountRegion,
    tagged: &Tagged,
    change: &impl Fn(&mut Tags),
) -> Result<(), ApiError> {
    let changed = |mut tags: Tags| {
        change(&mut tags);
        check_count(tags)
    };
    match tagged {
        Tagged::Instance(name) => {
            let mut db = record(draft, name)?;
            db.tags = changed(db.tags)?;
            draft.put(db)?;
        }
        Tagged::Cluster(name) => {
            let mut cluster = cluster::record(draft, scope, name)?;
            cluster.tags = changed(cluster.tags)?;
            draft.put(cluster)?;
        }
        Tagged::Endpoint { cluster, name } => {
            let mut cluster = cluster::record(draft, scope, cluster)?;
            if let Some(custom) = cluster.endpoints.get_mut(name) {
                custom.tags = changed(std::mem::take(&mut custom.tags))?;
            }
            draft.put(cluster)?;
        }
        Tagged::Proxy(name) => {
            let mut proxy = proxy::record(draft, scope, name)?;
            proxy.tags = changed(proxy.tags)?;
            draft.put(proxy)?;
        }
    }
    Ok(())
}
