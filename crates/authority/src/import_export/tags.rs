//! Tags in a file of a state.

use std::collections::BTreeMap;

use countersign_config_file::{DiagnosticSink, Fields, Location, string};

use crate::model::Tags;

/// Reads a table of tags.
/// Source of the bounds: "Tagging IAM resources", rules for tags, in the IAM user guide.
pub(super) fn read_tags(
    fields: &mut Fields<'_>,
    key: &'static str,
    report: &DiagnosticSink,
) -> Option<Tags> {
    let mut tags = BTreeMap::new();
    for (place, name, node) in fields.map(key)? {
        if let Some(value) = string(place, node, report) {
            check_tag(&value.location, name, value.value, report);
            tags.insert(name.to_owned(), value.value.to_owned());
        }
    }
    Some(tags)
}

/// Reports a tag whose key or value exceeds the limits of AWS.
pub(super) fn check_tag(place: &Location, key: &str, value: &str, report: &DiagnosticSink) {
    if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
        report.add(place, "a tag has a key of 1 to 128 characters and a value of at most 256");
    }
}
