//! Validation, condition keys and XML of a resource's tags.

use countersign_authority::model::Tags;

use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;

/// Maximum number of tags of a resource, and maximum size of a key and a value in characters.
/// Source: "IAM and AWS STS quotas" and "Rules for tagging in IAM and AWS STS" in the IAM user
/// guide.
const MAX_TAGS: usize = 50;

const MAX_KEY: usize = 128;

const MAX_VALUE: usize = 256;

/// Sets tags; keys are compared without regard to case.
pub(super) fn set(own: &mut Tags, new: &Tags) -> Result<(), ApiError> {
    own.retain(|key, _| !new.keys().any(|new| new.eq_ignore_ascii_case(key)));
    own.extend(new.clone());
    if own.len() > MAX_TAGS { Err(too_many()) } else { Ok(()) }
}

/// Removes tags.
pub(super) fn remove(own: &mut Tags, keys: &[String]) {
    own.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
}

/// Returns the validated keys of tags to remove.
pub(super) fn keys(ctx: &RequestContext<'_>) -> Result<Vec<String>, ApiError> {
    let keys: Vec<String> = ctx.parameters.list("TagKeys").into_iter().map(str::to_owned).collect();
    if keys.is_empty() {
        return Err(ApiError::missing("TagKeys"));
    }
    if keys.len() > MAX_TAGS {
        return Err(too_many());
    }
    keys.iter().try_for_each(|key| check_key(key))?;
    Ok(keys)
}

/// Returns the validated tags of a request.
pub(super) fn read(ctx: &RequestContext<'_>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in ctx.parameters.structures("Tags") {
        let (key, value) = (
            tag.required("Key")?,
            tag.text_or_empty("Value").ok_or_else(|| ApiError::missing("Value"))?,
        );
        check_key(key)?;
        if value.chars().count() > MAX_VALUE || !value.chars().all(allowed) {
            return Err(malformed("value", MAX_VALUE));
        }
        if tags.keys().any(|other: &String| other.eq_ignore_ascii_case(key)) {
            let message =
                "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(ApiError::new("InvalidInput", 400, message));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    if tags.len() > MAX_TAGS { Err(too_many()) } else { Ok(tags) }
}

fn check_key(key: &str) -> Result<(), ApiError> {
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(ApiError::new(
            "InvalidInput",
            400,
            "Tag keys beginning with aws: are reserved for system use.",
        ));
    }
    let fits = (1..=MAX_KEY).contains(&key.chars().count()) && key.chars().all(allowed);
    if fits { Ok(()) } else { Err(malformed("key", MAX_KEY)) }
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`
fn allowed(character: char) -> bool {
    let space = character.is_whitespace() && !character.is_control();
    space || character.is_alphanumeric() || "_.:/=+-@".contains(character)
}

fn malformed(part: &str, longest: usize) -> ApiError {
    ApiError::invalid(&format!(
        "A tag's {part} must be of at most {longest} characters: letters, numbers, spaces and \
         _.:/=+-@"
    ))
}

fn too_many() -> ApiError {
    ApiError::new("LimitExceeded", 409, "The number of tags has reached the maximum limit.")
}

/// Adds the condition keys of a resource with these tags.
pub(super) fn resource_facts<'a>(mut target: Target<'a>, tags: Option<&Tags>) -> Target<'a> {
    for (key, value) in tags.into_iter().flatten() {
        target = target
            .with(&format!("aws:ResourceTag/{key}"), value.as_str())
            .with(&format!("iam:ResourceTag/{key}"), value.as_str());
    }
    target
}

/// Adds the condition keys of a request with these tags.
pub(super) fn request_facts<'a>(mut target: Target<'a>, tags: &Tags) -> Target<'a> {
    for (key, value) in tags {
        target = target.with(&format!("aws:RequestTag/{key}"), value.as_str());
    }
    match tags.is_empty() {
        true => target,
        false => target.with("aws:TagKeys", tags.keys().cloned().collect::<Vec<_>>()),
    }
}

/// Returns an error unless the caller may perform `create` on the target and, if there are tags,
/// also `tag`.
pub(super) fn authorize_creation(
    ctx: &RequestContext<'_>,
    [create, tag]: [&str; 2],
    target: Target<'_>,
    tags: &Tags,
) -> Result<(), ApiError> {
    let target = request_facts(target, tags);
    ctx.authorize(create, &target)?;
    if !tags.is_empty() {
        ctx.authorize(tag, &target)?;
    }
    Ok(())
}

/// Writes `Tags`, if there are any.
pub(super) fn write_present(xml: &mut Xml, tags: &Tags) {
    if !tags.is_empty() {
        write(xml, tags);
    }
}

/// Writes `Tags`, even if there are none.
pub(super) fn write(xml: &mut Xml, tags: &Tags) {
    xml.list("Tags", "member", tags, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
}
