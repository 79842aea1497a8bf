//! The tags of whatever has an ARN.

use countersign_core::name::InstanceId;

use super::cluster::change::record as cluster_record;
use super::instance::{self, lifecycle::invalid_state};
use super::request::{AccountRegion, Facts, allow, bad_value, checked, put_tags, required, tags};
use super::{cluster, proxy};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{DbProxy, Tags};
use countersign_authority::store::{Draft, State};

/// What has tags.
#[derive(Debug, Clone)]
enum Tagged {
    Instance(InstanceId),
    Cluster(String),
    Endpoint { cluster: String, name: String },
    Proxy(String),
}

/// What an ARN names in this place, with its tags; and whether the API made it.
fn find(
    call: &RequestContext<'_>,
    state: &State,
    place: &AccountRegion,
    arn: &str,
) -> Result<(Tagged, Tags, bool), ApiError> {
    let named = |kind: &str| arn.strip_prefix(&place.arn(kind, ""));
    if let Some(name) = named("db") {
        let found = instance::look_up(state, &call.api.jobs, place, name)
            .ok_or_else(|| instance::not_found(name))?;
        return Ok((
            Tagged::Instance(found.db.name.clone()),
            found.db.tags.clone(),
            found.made_here,
        ));
    }
    if let Some(name) = named("cluster") {
        let found = cluster::look_up(state, place, name)?;
        return Ok((Tagged::Cluster(found.name.clone()), found.tags.clone(), true));
    }
    if let Some(name) = named("cluster-endpoint") {
        let found = cluster::all(state, place)
            .find_map(|cluster| Some((cluster, cluster.endpoints.get(name)?)));
        let missing = || {
            ApiError::new(
                "DBClusterEndpointNotFoundFault",
                400,
                &format!("DB cluster endpoint {name} not found."),
            )
        };
        let (cluster, custom) = found.ok_or_else(missing)?;
        return Ok((
            Tagged::Endpoint { cluster: cluster.name.clone(), name: name.to_owned() },
            custom.tags.clone(),
            true,
        ));
    }
    if let Some(id) = named("db-proxy") {
        let found = state.db_proxies.values().find(|proxy| {
            proxy.resource_id.as_str() == id && place.has(&proxy.account, &proxy.region)
        });
        let found = found.ok_or_else(|| proxy::not_found(id))?;
        return Ok((Tagged::Proxy(found.name.clone()), found.tags.clone(), true));
    }
    Err(bad_value(format!(
        "Invalid resource name: {arn}. It is the ARN of a db, cluster, cluster-endpoint or db-proxy of this account and region."
    )))
}

/// What a request is about, if the caller may do `action` to it.
fn allowed(
    call: &RequestContext<'_>,
    action: &str,
    gives: Option<&Tags>,
    keys: Vec<String>,
) -> Result<(Tagged, Tags, bool), ApiError> {
    let (place, arn) = (AccountRegion::of(call)?, required(call, "ResourceName")?);
    let found = find(call, &call.state, &place, arn);
    let has = found.as_ref().ok().map(|(tagged, tags, _)| {
        (if matches!(tagged, Tagged::Cluster(_)) { "cluster-tag" } else { "db-tag" }, tags)
    });
    allow(call, action, arn, &Facts { has, gives, keys, more: Vec::new() })?;
    found
}

/// `ListTagsForResource`
pub(super) fn list(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let (_, tags, _) = allowed(call, "ListTagsForResource", None, Vec::new())?;
    let mut xml = Xml::new();
    put_tags(&mut xml, &tags);
    Ok(xml.into())
}

/// `AddTagsToResource`
pub(super) fn add(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let added = tags(call.parameters)?;
    let (tagged, _, made_here) = allowed(call, "AddTagsToResource", Some(&added), Vec::new())?;
    change(call, &tagged, made_here, |tags| tags.extend(added.clone()))
}

/// `RemoveTagsFromResource`
pub(super) fn remove(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let keys: Vec<String> =
        call.parameters.list("TagKeys").into_iter().map(str::to_owned).collect();
    let (tagged, _, made_here) = allowed(call, "RemoveTagsFromResource", None, keys.clone())?;
    change(call, &tagged, made_here, |tags| tags.retain(|key, _| !keys.contains(key)))
}

fn change(
    call: &RequestContext<'_>,
    tagged: &Tagged,
    made_here: bool,
    change: impl Fn(&mut Tags),
) -> Result<ActionOutput, ApiError> {
    let place = AccountRegion::of(call)?;
    if !made_here {
        return Err(invalid_state(
            "It was not made through this API, but by `countersign local`, and has no tags.",
        ));
    }
    call.api.store().change(|draft| write(draft, &place, tagged, &change))?;
    Ok(ActionOutput::Empty)
}

fn write(
    draft: &mut Draft,
    place: &AccountRegion,
    tagged: &Tagged,
    change: &impl Fn(&mut Tags),
) -> Result<(), ApiError> {
    let changed = |mut tags: Tags| {
        change(&mut tags);
        checked(tags)
    };
    match tagged {
        Tagged::Instance(name) => {
            let mut db = instance::record(draft, name)?;
            db.tags = changed(db.tags)?;
            draft.put(db)?;
        }
        Tagged::Cluster(name) => {
            let mut cluster = cluster_record(draft, place, name)?;
            cluster.tags = changed(cluster.tags)?;
            draft.put(cluster)?;
        }
        Tagged::Endpoint { cluster, name } => {
            let mut cluster = cluster_record(draft, place, cluster)?;
            if let Some(custom) = cluster.endpoints.get_mut(name) {
                custom.tags = changed(std::mem::take(&mut custom.tags))?;
            }
            draft.put(cluster)?;
        }
        Tagged::Proxy(name) => {
            let mut proxy: DbProxy = proxy::record(draft, place, name)?;
            proxy.tags = changed(proxy.tags)?;
            draft.put(proxy)?;
        }
    }
    Ok(())
}
