//! Scope, authorization, filters and pages of requests.

use countersign_authority::model::{DbCluster, DbInstance, Tags};
use countersign_authority::servers::ServersError;
use countersign_core::name::AccountId;
use countersign_core::region::{Partition, Region};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Xml;

/// Maximum number of tags of a resource.
/// Source: "Tagging Amazon RDS resources" in the RDS user guide.
const MAX_TAGS: usize = 50;

pub(crate) fn error(code: &'static str, message: impl AsRef<str>) -> ApiError {
    ApiError::new(code, 400, message.as_ref())
}

pub(crate) fn bad_value(message: impl AsRef<str>) -> ApiError {
    error("InvalidParameterValue", message)
}

pub(crate) fn bad_combination(message: impl AsRef<str>) -> ApiError {
    error("InvalidParameterCombination", message)
}

/// Maps errors of servers to errors of the API.
impl From<ServersError> for ApiError {
    fn from(error: ServersError) -> Self {
        match &error {
            ServersError::NotFound(_) | ServersError::Invalid(_) => {
                bad_combination(error.to_string())
            }
            ServersError::InstanceNotFound(_) => {
                Self::new("DBInstanceNotFound", 404, &error.to_string())
            }
            ServersError::PortInUse(_) => bad_value(error.to_string()),
            ServersError::Failed(_) => Self::internal(&error),
        }
    }
}

pub(crate) fn required<'a>(ctx: &RequestContext<'a>, name: &str) -> Result<&'a str, ApiError> {
    ctx.parameters.text(name).ok_or_else(|| {
        error("MissingParameter", format!("The request must contain the parameter {name}."))
    })
}

/// Returns the value of a numeric parameter within bounds.
pub(crate) fn number(
    ctx: &RequestContext<'_>,
    name: &str,
    min: u64,
    max: u64,
) -> Result<Option<u64>, ApiError> {
    match ctx.parameters.number(name)? {
        Some(value) if !(min..=max).contains(&value) => {
            Err(bad_value(format!("Invalid value {value} for {name}: it must be {min} to {max}.")))
        }
        value => Ok(value),
    }
}

/// Account and region of a request: names are looked up in it.
#[derive(Debug, Clone)]
pub(crate) struct AccountRegion {
    pub(crate) account: AccountId,
    pub(crate) region: Region,
    pub(crate) partition: Partition,
}

impl AccountRegion {
    pub(crate) fn of(ctx: &RequestContext<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            account: ctx.account()?.clone(),
            region: ctx.region.clone(),
            partition: ctx.partition()?,
        })
    }

    /// `arn:PARTITION:rds:REGION:ACCOUNT:KIND:NAME`
    pub(crate) fn arn(&self, kind: &str, name: &str) -> String {
        format!("arn:{}:rds:{}:{}:{kind}:{name}", self.partition, self.region, self.account)
    }

    pub(crate) fn has(&self, account: &AccountId, region: &Region) -> bool {
        self.account == *account && self.region == *region
    }

    /// Returns the name in a name or an ARN of this account and region.
    pub(crate) fn name_of<'a>(&self, kind: &str, text: &'a str) -> &'a str {
        text.strip_prefix(&self.arn(kind, "")).unwrap_or(text)
    }
}

/// Returns the tags in a request.
pub(crate) fn tags(parameters: &Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in parameters.structures("Tags") {
        let (key, value) =
            (tag.text("Key").unwrap_or_default(), tag.text_or_empty("Value").unwrap_or_default());
        if key.is_empty()
            || key.chars().count() > 128
            || value.chars().count() > 256
            || key.to_ascii_lowercase().starts_with("aws:")
        {
            return Err(bad_value(
                "A tag's key must be 1 to 128 characters that do not begin with aws:, and its \
                 value at most 256.",
            ));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(bad_value(format!("Duplicate tag keys are not allowed: {key}")));
        }
    }
    check_count(tags)
}

/// Returns an error for too many tags.
pub(crate) fn check_count(tags: Tags) -> Result<Tags, ApiError> {
    if tags.len() > MAX_TAGS {
        Err(bad_value(format!("A resource can have at most {MAX_TAGS} tags.")))
    } else {
        Ok(tags)
    }
}

pub(crate) fn write_tags(xml: &mut Xml, tags: &Tags) {
    xml.list("TagList", "Tag", tags, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
}

/// Condition keys of a request.
/// Source: "Actions, resources, and condition keys for Amazon RDS" in the Service Authorization
/// Reference.
#[derive(Debug, Default)]
pub(crate) struct ConditionKeys<'a> {
    /// Tags of the existing resource, and the name of RDS's own condition key for them.
    pub(crate) resource_tags: Option<(&'static str, &'a Tags)>,
    /// Tags in the request.
    pub(crate) request_tags: Option<&'a Tags>,
    /// Tag keys in the request.
    pub(crate) tag_keys: Vec<String>,
    /// Other condition keys.
    pub(crate) other: Vec<(&'static str, String)>,
}

impl<'a> ConditionKeys<'a> {
    pub(crate) fn of_instance(db: &'a DbInstance) -> Self {
        let other = vec![
            ("rds:DatabaseEngine", db.engine.clone()),
            ("rds:DatabaseClass", db.class.clone()),
        ];
        Self { resource_tags: Some(("db-tag", &db.tags)), other, ..Self::default() }
    }

    pub(crate) fn of_cluster(cluster: &'a DbCluster) -> Self {
        let other = vec![("rds:DatabaseEngine", cluster.engine.clone())];
        Self { resource_tags: Some(("cluster-tag", &cluster.tags)), other, ..Self::default() }
    }
}

/// Returns an error unless the caller may perform `action` on `arn`.
pub(crate) fn authorize(
    ctx: &RequestContext<'_>,
    action: &str,
    arn: &str,
    condition_keys: &ConditionKeys<'_>,
) -> Result<(), ApiError> {
    let mut target = Target::of(arn);
    if let Some((kind, tags)) = condition_keys.resource_tags {
        for (key, value) in tags {
            target = target
                .with(&format!("aws:ResourceTag/{key}"), value.as_str())
                .with(&format!("rds:{kind}/{key}"), value.as_str());
        }
    }
    let mut keys = condition_keys.tag_keys.clone();
    for (key, value) in condition_keys.request_tags.into_iter().flatten() {
        target = target
            .with(&format!("aws:RequestTag/{key}"), value.as_str())
            .with(&format!("rds:req-tag/{key}"), value.as_str());
        keys.push(key.clone());
    }
    if !keys.is_empty() {
        target = target.with("aws:TagKeys", keys);
    }
    for (key, value) in &condition_keys.other {
        target = target.with(key, value.as_str());
    }
    ctx.authorize(&format!("rds:{action}"), &target).map(drop)
}

/// Returns an error unless the caller may create `arn` and, if the request has tags, tag it.
pub(crate) fn authorize_new(
    ctx: &RequestContext<'_>,
    action: &str,
    arn: &str,
    condition_keys: &ConditionKeys<'_>,
) -> Result<(), ApiError> {
    authorize(ctx, action, arn, condition_keys)?;
    if condition_keys.request_tags.is_some_and(|tags| !tags.is_empty()) {
        authorize(ctx, "AddTagsToResource", arn, condition_keys)
    } else {
        Ok(())
    }
}

/// Returns the filters of a request with their values; an item must match one value of each.
pub(crate) fn filters(
    ctx: &RequestContext<'_>,
    known: &[&str],
) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    let read = |filter: Parameters| {
        let name = filter.text("Name").unwrap_or_default().to_owned();
        if !known.contains(&name.as_str()) {
            return Err(bad_value(format!("Unrecognized filter name: {name}")));
        }
        Ok((name, filter.list("Values").into_iter().map(str::to_owned).collect()))
    };
    ctx.parameters.structures("Filters").into_iter().map(read).collect()
}

/// Returns the requested page of `items`, which are in the order of their keys, and the marker of
/// the next page.
pub(crate) fn page<T>(
    ctx: &RequestContext<'_>,
    items: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let max = number(ctx, "MaxRecords", 20, 100)?
        .and_then(|max| usize::try_from(max).ok())
        .unwrap_or(100);
    let after = ctx.parameters.text("Marker").map(|marker| {
        let decoded = BASE64_URL_SAFE_NO_PAD
            .decode(marker)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.ok_or_else(|| bad_value("Invalid Marker: use the marker of the previous response."))
    });
    let after = after.transpose()?;
    let rest = items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let mut page: Vec<(String, T)> = rest.take(max + 1).collect();
    let more = page.len() > max;
    page.truncate(max);
    let marker = page.last().filter(|_| more).map(|(key, _)| BASE64_URL_SAFE_NO_PAD.encode(key));
    Ok((page.into_iter().map(|(_, item)| item).collect(), marker))
}
