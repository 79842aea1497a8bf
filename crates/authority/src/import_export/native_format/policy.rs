//! Managed policies.

use std::collections::BTreeMap;

use countersign_core::arn::Arn;
use countersign_core::policy::PolicyKind;

use super::Reader;
use crate::import_export::document;
use crate::import_export::entry::{AwsPolicy, Content, MAX_VERSIONS, Policy};
use crate::import_export::name::NameKind;
use countersign_config_file::{Fields, Location};

impl<'n> Reader<'n> {
    pub(super) fn policy(&self, fields: &mut Fields<'n>) -> Option<Policy> {
        let header = self.header(fields, NameKind::Policy);
        let description = fields.text("description").map(|text| text.value.to_owned());
        let document = fields.take("document");
        let versions = self.versions(fields);
        let default = fields
            .text("default_version")
            .and_then(|text| self.version(&text.location, text.value));
        let next =
            fields.text("next_version").and_then(|text| self.version(&text.location, text.value));
        let content = match (document, versions) {
            (Some((location, node)), None) => Content::Document(document::read(
                &location,
                node,
                PolicyKind::Identity,
                self.diagnostics,
            )?),
            (None, Some(versions)) => {
                let Some(default) = default
                    .or_else(|| versions.keys().next_back().copied())
                    .filter(|at| versions.contains_key(at))
                else {
                    self.diagnostics
                        .add(&fields.location, "default_version is not among the versions");
                    return None;
                };
                if versions.len() > MAX_VERSIONS {
                    self.diagnostics
                        .add(&fields.location, format!("more than {MAX_VERSIONS} versions"));
                }
                Content::Versions { versions, default, next }
            }
            (None, None) => {
                self.diagnostics.add(&fields.location, "document is missing");
                return None;
            }
            (Some(_), Some(_)) => {
                self.diagnostics
                    .add(&fields.location, "both document and versions are given; keep one");
                return None;
            }
        };
        Some(Policy { header: header?, description, content })
    }

    fn versions(&self, fields: &mut Fields<'n>) -> Option<BTreeMap<u32, (String, Option<u64>)>> {
        let mut versions = BTreeMap::new();
        for (location, name, node) in fields.map("versions")? {
            let number = self.version(&location, name);
            let Some(mut fields) = Fields::of(node, location, self.diagnostics) else {
                continue;
            };
            let created = fields.instant("created");
            fields.require("document");
            let text = fields.take("document").and_then(|(location, node)| {
                document::read(&location, node, PolicyKind::Identity, self.diagnostics)
            });
            fields.finish();
            versions.extend(number.zip(text).map(|(number, text)| (number, (text, created))));
        }
        Some(versions)
    }

    /// Parses a version such as `v1`.
    fn version(&self, location: &Location, name: &str) -> Option<u32> {
        let number = name
            .strip_prefix('v')
            .and_then(|number| number.parse().ok())
            .filter(|number| *number > 0);
        if number.is_none() {
            self.diagnostics
                .add(location, format!("{name:?} is not a version; versions are v1, v2, …"));
        }
        number
    }

    pub(super) fn aws_policy(&self, fields: &mut Fields<'n>) -> Option<AwsPolicy> {
        let arn = fields.required("arn").and_then(|text| {
            let arn: Arn = countersign_config_file::parse(&text, self.diagnostics)?;
            let own = arn.service() == "iam"
                && arn.account() == "aws"
                && arn.resource().starts_with("policy/");
            if !own {
                self.diagnostics.add(
                    &text.location,
                    format!("{:?} is not arn:PARTITION:iam::aws:policy/NAME", text.value),
                );
            }
            own.then_some(arn)
        });
        fields.require("document");
        let document = fields.take("document").and_then(|(location, node)| {
            document::read(&location, node, PolicyKind::Identity, self.diagnostics)
        });
        Some(AwsPolicy { arn: arn?.to_string(), document: document? })
    }
}
