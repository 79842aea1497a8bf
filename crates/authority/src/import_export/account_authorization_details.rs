//! Reader for the output of `aws iam get-account-authorization-details`. It keeps the unique ids,
//! so that identities reported by AWS's STS get their policies here.
//!
//! Source: GetAccountAuthorizationDetails in the IAM API reference. Unknown fields are ignored,
//! because AWS may add some.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::arn::Arn;
use countersign_core::json::{Node, Value};
use countersign_core::name::AccountId;
use countersign_core::policy::PolicyKind;
use countersign_core::region::Partition;

use super::document::read_encoded;
use super::entry::{
    Account, AwsPolicy, Content, Entries, EntryHeader, Group, Permissions, Policy, Profile, Role,
    User,
};
use super::name::{NameKind, check_path};
use super::tags::check_tag;
use crate::aws_managed;
use crate::model::Tags;
use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned};

/// Lists of the output, at least one of which is present.
const LISTS: [&str; 4] = ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"];

/// Returns true if the file is such an output.
pub(super) fn is_details(root: &Node) -> bool {
    let Value::Object(members) = &root.value else {
        return false;
    };
    members.iter().any(|member| LISTS.contains(&member.key.as_str()))
}

/// Reads the output.
pub(super) fn read(root: &Node, diagnostics: &DiagnosticSink) -> Entries {
    let reader = Reader { diagnostics };
    let mut entries = Entries::default();
    let Some(mut fields) = Fields::of(root, Location::root(root), diagnostics) else {
        return entries;
    };
    if fields.flag("IsTruncated") == Some(true) {
        diagnostics.add(
            &fields.location,
            "IsTruncated is true, so the output is incomplete; run the AWS CLI without --max-items",
        );
    }
    entries.policies = reader
        .each(&mut fields, "Policies", |fields| reader.policy(fields, &mut entries.aws_policies));
    entries.groups = reader.each(&mut fields, "GroupDetailList", |fields| {
        let (header, permissions) =
            (reader.header(fields, NameKind::Group), reader.permissions(fields, "GroupPolicyList"));
        Some(Group { header: header?.0, permissions })
    });
    let mut profiles: BTreeMap<(AccountId, String), Profile> = BTreeMap::new();
    entries.roles = reader.each(&mut fields, "RoleDetailList", |fields| {
        for profile in reader.each(fields, "InstanceProfileList", |fields| reader.profile(fields)) {
            profiles.insert((profile.header.account.clone(), profile.header.name.clone()), profile);
        }
        reader.role(fields)
    });
    entries.profiles = profiles.into_values().collect();
    entries.users = reader.each(&mut fields, "UserDetailList", |fields| {
        let (header, permissions) =
            (reader.header(fields, NameKind::User), reader.permissions(fields, "UserPolicyList"));
        let groups = fields.texts("GroupList").unwrap_or_default();
        Some(User { header: header?.0, permissions, groups, keys: Vec::new(), wants_key: false })
    });
    entries.accounts = accounts(root, &entries, diagnostics);
    entries
}

/// Returns the accounts of all entries, in the partition of the ARNs.
fn accounts(root: &Node, entries: &Entries, diagnostics: &DiagnosticSink) -> Vec<Account> {
    let heads = entries
        .users
        .iter()
        .map(|user| &user.header)
        .chain(entries.roles.iter().map(|role| &role.header));
    let heads = heads
        .chain(entries.groups.iter().map(|group| &group.header))
        .chain(entries.policies.iter().map(|policy| &policy.header));
    let ids: BTreeSet<AccountId> = heads.map(|header| header.account.clone()).collect();
    let partition = first_partition(root);
    if ids.is_empty() && diagnostics.count() == 0 {
        diagnostics.add(
            &Location::root(root),
            "account id is missing: the file has no user, group, role or policy of an account",
        );
    }
    let location = Location::root(root);
    let account = |id| Account {
        location: location.clone(),
        id,
        partition,
        service_control: None,
        resource_control: None,
    };
    ids.into_iter().map(account).collect()
}

/// Returns the partition of the first ARN; the output covers one account.
fn first_partition(node: &Node) -> Option<Partition> {
    match &node.value {
        Value::Array(nodes) => nodes.iter().find_map(first_partition),
        Value::Object(members) => members.iter().find_map(|member| match &member.node.value {
            Value::String(text) if member.key == "Arn" => {
                text.parse::<Arn>().ok()?.partition().parse().ok()
            }
            _ => first_partition(&member.node),
        }),
        _ => None,
    }
}

struct Reader<'n> {
    diagnostics: &'n DiagnosticSink,
}

impl<'n> Reader<'n> {
    fn each<T>(
        &self,
        fields: &mut Fields<'n>,
        key: &'static str,
        mut read: impl FnMut(&mut Fields<'n>) -> Option<T>,
    ) -> Vec<T> {
        let list = fields.list(key).unwrap_or_default();
        list.into_iter()
            .filter_map(|(location, node)| read(&mut Fields::of(node, location, self.diagnostics)?))
            .collect()
    }

    /// Reads the fields common to all entries and the ARN, which contains the account id.
    fn header(&self, fields: &mut Fields<'n>, kind: NameKind) -> Option<(EntryHeader, Arn)> {
        let (name, id) = match kind {
            NameKind::User => ("UserName", "UserId"),
            NameKind::Role => ("RoleName", "RoleId"),
            NameKind::Group => ("GroupName", "GroupId"),
            NameKind::Policy => ("PolicyName", "PolicyId"),
            NameKind::Profile => ("InstanceProfileName", "InstanceProfileId"),
        };
        let name = fields
            .required(name)
            .filter(|name| kind.check(&name.location, name.value, self.diagnostics));
        let id =
            fields.text(id).filter(|id| kind.check_id(&id.location, id.value, self.diagnostics));
        let path = fields
            .text("Path")
            .filter(|path| check_path(&path.location, path.value, self.diagnostics));
        let created = fields.instant("CreateDate");
        let tags = if kind == NameKind::Group { None } else { self.tags(fields) };
        let arn = fields.required("Arn");
        let parsed: Option<Arn> =
            arn.as_ref().and_then(|arn| countersign_config_file::parse(arn, self.diagnostics));
        let (arn, parsed) = (arn?, parsed?);
        let account = match parsed.account() {
            // The entry of an AWS managed policy belongs to no account; the id is not used.
            "aws" => "000000000000",
            own => own,
        };
        let account = countersign_config_file::parse(
            &Spanned { location: arn.location, value: account },
            self.diagnostics,
        )?;
        let header = EntryHeader {
            location: fields.location.clone(),
            account,
            name: name?.value.to_owned(),
            path: path.map(|path| path.value.to_owned()),
            unique_id: id.map(|id| id.value.to_owned()),
            created,
            tags,
        };
        Some((header, parsed))
    }

    fn tags(&self, fields: &mut Fields<'n>) -> Option<Tags> {
        let list = fields.list("Tags")?;
        let mut tags = Tags::new();
        for (location, node) in list {
            let Some(mut fields) = Fields::of(node, location, self.diagnostics) else {
                continue;
            };
            if let (Some(key), Some(value)) = (fields.required("Key"), fields.required("Value")) {
                check_tag(&fields.location, key.value, value.value, self.diagnostics);
                tags.insert(key.value.to_owned(), value.value.to_owned());
            }
        }
        Some(tags)
    }

    fn permissions(&self, fields: &mut Fields<'n>, inline: &'static str) -> Permissions {
        let inline = self.each(fields, inline, |fields| {
            let name = fields.required("PolicyName");
            let text = self.document(fields, "PolicyDocument", PolicyKind::Identity);
            Some((name?.value.to_owned(), text?))
        });
        let owned =
            |text: Spanned<&str>| Spanned { location: text.location, value: text.value.to_owned() };
        let attached = self.each(fields, "AttachedManagedPolicies", |fields| {
            fields.required("PolicyArn").map(owned)
        });
        let boundary = fields.take("PermissionsBoundary").and_then(|(location, node)| {
            let mut fields = Fields::of(node, location, self.diagnostics)?;
            fields.required("PermissionsBoundaryArn").map(owned)
        });
        Permissions { inline: inline.into_iter().collect(), attached, boundary }
    }

    fn document(
        &self,
        fields: &mut Fields<'n>,
        key: &'static str,
        kind: PolicyKind,
    ) -> Option<String> {
        let Some((location, node)) = fields.take(key) else {
            self.diagnostics.add(&fields.location, format!("{key} is missing"));
            return None;
        };
        read_encoded(&location, node, kind, self.diagnostics)
    }

    fn role(&self, fields: &mut Fields<'n>) -> Option<Role> {
        let (header, permissions) =
            (self.header(fields, NameKind::Role), self.permissions(fields, "RolePolicyList"));
        let trust = self.document(fields, "AssumeRolePolicyDocument", PolicyKind::Resource);
        Some(Role { header: header?.0, permissions, description: None, trust, max_session: None })
    }

    fn profile(&self, fields: &mut Fields<'n>) -> Option<Profile> {
        let header = self.header(fields, NameKind::Profile);
        let role = self.each(fields, "Roles", |fields| {
            fields
                .required("RoleName")
                .map(|name| Spanned { location: name.location, value: name.value.to_owned() })
        });
        Some(Profile { header: header?.0, role: role.into_iter().next() })
    }

    /// Reads a managed policy of the account. Adds an AWS managed policy to `aws`, unless it equals
    /// the authority's.
    fn policy(&self, fields: &mut Fields<'n>, aws: &mut Vec<AwsPolicy>) -> Option<Policy> {
        let header = self.header(fields, NameKind::Policy);
        let description = fields.text("Description").map(|text| text.value.to_owned());
        let default =
            fields.text("DefaultVersionId").and_then(|text| number(&text, self.diagnostics));
        let versions = self.each(fields, "PolicyVersionList", |fields| {
            let version =
                fields.required("VersionId").and_then(|text| number(&text, self.diagnostics));
            let default = fields.flag("IsDefaultVersion").unwrap_or_default();
            let created = fields.instant("CreateDate");
            let text = self.document(fields, "Document", PolicyKind::Identity);
            Some((version?, text?, created, default))
        });
        let marked = versions.iter().find(|version| version.3).map(|version| version.0);
        let versions: BTreeMap<u32, (String, Option<u64>)> = versions
            .into_iter()
            .map(|(number, text, created, _)| (number, (text, created)))
            .collect();
        let counts =
            marked.or(default).and_then(|number| Some((number, versions.get(&number)?.0.clone())));
        let (header, arn) = header?;
        let Some((default, document)) = counts else {
            self.diagnostics.add(&fields.location, "default version is not in PolicyVersionList");
            return None;
        };
        if arn.account() == "aws" {
            let arn = arn.to_string();
            if !aws_managed::document(&arn).is_some_and(|known| same(known, &document)) {
                aws.push(AwsPolicy { arn, document });
            }
            return None;
        }
        Some(Policy {
            header,
            description,
            content: Content::Versions { versions, default, next: None },
        })
    }
}

/// Returns true if two documents differ only in white space and the order of keys.
fn same(one: &str, other: &str) -> bool {
    let parsed = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

fn number(text: &Spanned<&str>, diagnostics: &DiagnosticSink) -> Option<u32> {
    let number = text.value.strip_prefix('v').and_then(|number| number.parse().ok());
    if number.is_none() {
        diagnostics.add(
            &text.location,
            format!("{:?} is not a version; versions are v1, v2, …", text.value),
        );
    }
    number
}
