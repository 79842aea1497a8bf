//! Managed policies.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::policy::PolicyKind;

use super::{Reader, document};
use crate::import_export::entry::{AwsPolicy, Content, Policy};
use crate::import_export::name::Named;
use countersign_config_file::{Fields, Location};

/// The most versions that a managed policy has at once. Source: "IAM and AWS STS quotas".
pub(in crate::import_export) const MAX_VERSIONS: usize = 5;

impl<'n> Reader<'n> {
    pub(super) fn policy(&self, fields: &mut Fields<'n>) -> Option<Policy> {
        let head = self.head(fields, Named::Policy);
        let description = fields.text("description").map(|text| text.value.to_owned());
        let document = fields.take("document");
        let versions = self.versions(fields);
        let default = fields
            .text("default_version")
            .and_then(|text| self.version(&text.location, text.value));
        let next =
            fields.text("next_version").and_then(|text| self.version(&text.location, text.value));
        let content = match (document, versions) {
            (Some((place, node)), None) => {
                Content::Document(document::read(&place, node, PolicyKind::Identity, self.report)?)
            }
            (None, Some(versions)) => {
                let Some(default) = default
                    .or_else(|| versions.keys().next_back().copied())
                    .filter(|at| versions.contains_key(at))
                else {
                    self.report.add(&fields.location, "default_version is none of its versions");
                    return None;
                };
                if versions.len() > MAX_VERSIONS {
                    self.report
                        .add(&fields.location, format!("it has more than {MAX_VERSIONS} versions"));
                }
                Content::Versions { versions, default, next }
            }
            (None, None) => {
                self.report.add(&fields.location, "document is missing");
                return None;
            }
            (Some(_), Some(_)) => {
                self.report.add(&fields.location, "it has both document and versions; keep one");
                return None;
            }
        };
        Some(Policy { head: head?, description, content })
    }

    fn versions(&self, fields: &mut Fields<'n>) -> Option<BTreeMap<u32, (String, Option<u64>)>> {
        let mut versions = BTreeMap::new();
        for (place, name, node) in fields.map("versions")? {
            let number = self.version(&place, name);
            let Some(mut fields) = Fields::of(node, place, self.report) else {
                continue;
            };
            let created = fields.instant("created");
            fields.require("document");
            let text = fields.take("document").and_then(|(place, node)| {
                document::read(&place, node, PolicyKind::Identity, self.report)
            });
            fields.finish();
            versions.extend(number.zip(text).map(|(number, text)| (number, (text, created))));
        }
        Some(versions)
    }

    /// The number of `v1`.
    fn version(&self, place: &Location, name: &str) -> Option<u32> {
        let number = name
            .strip_prefix('v')
            .and_then(|number| number.parse().ok())
            .filter(|number| *number > 0);
        if number.is_none() {
            self.report.add(place, format!("{name:?} is no version: they are called v1, v2, …"));
        }
        number
    }

    pub(super) fn aws_policy(&self, fields: &mut Fields<'n>) -> Option<AwsPolicy> {
        let arn = fields.required("arn").and_then(|text| {
            let arn: Arn = countersign_config_file::parse(&text, self.report)?;
            let own = arn.service() == "iam"
                && arn.account() == "aws"
                && arn.resource().starts_with("policy/");
            if !own {
                self.report.add(
                    &text.location,
                    format!("{:?} is not arn:PARTITION:iam::aws:policy/NAME", text.value),
                );
            }
            own.then_some(arn)
        });
        fields.require("document");
        let document = fields.take("document").and_then(|(place, node)| {
            document::read(&place, node, PolicyKind::Identity, self.report)
        });
        Some(AwsPolicy { arn: arn?.to_string(), document: document? })
    }
}
