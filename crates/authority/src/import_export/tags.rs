//! Tags in a file.

use std::collections::BTreeMap;

use countersign_config_file::{DiagnosticSink, Fields, Location, string};

use crate::model::Tags;

/// Reads a table of tags. Source of the limits: "Tagging IAM resources", rules for tags, in the IAM
/// user guide.
pub(super) fn read_tags(
    fields: &mut Fields<'_>,
    key: &'static str,
    diagnostics: &DiagnosticSink,
) -> Option<Tags> {
    let mut tags = BTreeMap::new();
    for (location, name, node) in fields.map(key)? {
        if let Some(value) = string(location, node, diagnostics) {
            check_tag(&value.location, name, value.value, diagnostics);
            tags.insert(name.to_owned(), value.value.to_owned());
        }
    }
    Some(tags)
}

/// Reports a tag whose key or value exceeds the limits of AWS.
pub(super) fn check_tag(location: &Location, key: &str, value: &str, diagnostics: &DiagnosticSink) {
    if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
        diagnostics
            .add(location, "tag must have a key of 1 to 128 characters and a value of at most 256");
    }
}
