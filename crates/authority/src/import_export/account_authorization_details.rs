//! The output of `aws iam get-account-authorization-details`: an account as AWS has it, with its unique ids, so that identities
//! that AWS's STS vouches for meet their policies here.
//! Source: GetAccountAuthorizationDetails in the IAM API reference. Fields that it may get are passed over: they are AWS's.

use std::collections::{BTreeMap, BTreeSet};

use countersign_core::arn::Arn;
use countersign_core::json::{Node, Value};
use countersign_core::name::AccountId;
use countersign_core::policy::PolicyKind;
use countersign_core::region::Partition;

use super::document::read_encoded;
use super::entry::{
    Account, AwsPolicy, Content, Entries, Group, Head, Policy, Profile, Rights, Role, User,
};
use super::name::{Named, check_path};
use super::tags::check_tag;
use crate::aws_managed;
use crate::model::Tags;
use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned};

/// The four lists, of which there is at least one.
const LISTS: [&str; 4] = ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"];

/// Whether it is that output.
pub(super) fn recognised(root: &Node) -> bool {
    let Value::Object(members) = &root.value else {
        return false;
    };
    members.iter().any(|member| LISTS.contains(&member.key.as_str()))
}

/// Reads it.
pub(super) fn read(root: &Node, report: &DiagnosticSink) -> Entries {
    let reader = Reader { report };
    let mut entries = Entries::default();
    let Some(mut fields) = Fields::of(root, Location::root(root), report) else {
        return entries;
    };
    if fields.flag("IsTruncated") == Some(true) {
        report.add(&fields.location, "IsTruncated is true: this is a part only; let the AWS CLI fetch all of it, without --max-items");
    }
    entries.policies = reader
        .each(&mut fields, "Policies", |fields| reader.policy(fields, &mut entries.aws_policies));
    entries.groups = reader.each(&mut fields, "GroupDetailList", |fields| {
        let (head, rights) =
            (reader.head(fields, Named::Group), reader.rights(fields, "GroupPolicyList"));
        Some(Group { head: head?.0, rights })
    });
    let mut profiles: BTreeMap<(AccountId, String), Profile> = BTreeMap::new();
    entries.roles = reader.each(&mut fields, "RoleDetailList", |fields| {
        for profile in reader.each(fields, "InstanceProfileList", |fields| reader.profile(fields)) {
            profiles.insert((profile.head.account.clone(), profile.head.name.clone()), profile);
        }
        reader.role(fields)
    });
    entries.profiles = profiles.into_values().collect();
    entries.users = reader.each(&mut fields, "UserDetailList", |fields| {
        let (head, rights) =
            (reader.head(fields, Named::User), reader.rights(fields, "UserPolicyList"));
        let groups = fields.texts("GroupList").unwrap_or_default();
        Some(User { head: head?.0, rights, groups, keys: Vec::new(), wants_key: false })
    });
    entries.accounts = accounts(root, &entries, report);
    entries
}

/// The accounts of everything that was read, with the partition that their ARNs are in.
fn accounts(root: &Node, entries: &Entries, report: &DiagnosticSink) -> Vec<Account> {
    let heads = entries
        .users
        .iter()
        .map(|user| &user.head)
        .chain(entries.roles.iter().map(|role| &role.head));
    let heads = heads
        .chain(entries.groups.iter().map(|group| &group.head))
        .chain(entries.policies.iter().map(|policy| &policy.head));
    let ids: BTreeSet<AccountId> = heads.map(|head| head.account.clone()).collect();
    let partition = first_partition(root);
    if ids.is_empty() && report.count() == 0 {
        report.add(
            &Location::root(root),
            "there is no user, group, role or policy of an account in it, and so no account id",
        );
    }
    let place = Location::root(root);
    let account = |id| Account {
        place: place.clone(),
        id,
        partition,
        service_control: None,
        resource_control: None,
    };
    ids.into_iter().map(account).collect()
}

/// The partition of the first ARN: one output is of one account.
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
    report: &'n DiagnosticSink,
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
            .filter_map(|(place, node)| read(&mut Fields::of(node, place, self.report)?))
            .collect()
    }

    /// What everything has, and its ARN, from which the account comes.
    fn head(&self, fields: &mut Fields<'n>, kind: Named) -> Option<(Head, Arn)> {
        let (name, id) = match kind {
            Named::User => ("UserName", "UserId"),
            Named::Role => ("RoleName", "RoleId"),
            Named::Group => ("GroupName", "GroupId"),
            Named::Policy => ("PolicyName", "PolicyId"),
            Named::Profile => ("InstanceProfileName", "InstanceProfileId"),
        };
        let name = fields
            .required(name)
            .filter(|name| kind.check(&name.location, name.value, self.report));
        let id = fields.text(id).filter(|id| kind.check_id(&id.location, id.value, self.report));
        let path =
            fields.text("Path").filter(|path| check_path(&path.location, path.value, self.report));
        let created = fields.instant("CreateDate");
        let tags = if kind == Named::Group { None } else { self.tags(fields) };
        let arn = fields.required("Arn");
        let parsed: Option<Arn> =
            arn.as_ref().and_then(|arn| countersign_config_file::parse(arn, self.report));
        let (arn, parsed) = (arn?, parsed?);
        let account = match parsed.account() {
            // AWS's own policy: whose account it is does not matter, for it becomes none of an account's.
            "aws" => "000000000000",
            own => own,
        };
        let account = countersign_config_file::parse(
            &Spanned { location: arn.location, value: account },
            self.report,
        )?;
        let head = Head {
            place: fields.location.clone(),
            account,
            name: name?.value.to_owned(),
            path: path.map(|path| path.value.to_owned()),
            unique_id: id.map(|id| id.value.to_owned()),
            created,
            tags,
        };
        Some((head, parsed))
    }

    fn tags(&self, fields: &mut Fields<'n>) -> Option<Tags> {
        let list = fields.list("Tags")?;
        let mut tags = Tags::new();
        for (place, node) in list {
            let Some(mut fields) = Fields::of(node, place, self.report) else {
                continue;
            };
            if let (Some(key), Some(value)) = (fields.required("Key"), fields.required("Value")) {
                check_tag(&fields.location, key.value, value.value, self.report);
                tags.insert(key.value.to_owned(), value.value.to_owned());
            }
        }
        Some(tags)
    }

    fn rights(&self, fields: &mut Fields<'n>, inline: &'static str) -> Rights {
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
        let boundary = fields.take("PermissionsBoundary").and_then(|(place, node)| {
            let mut fields = Fields::of(node, place, self.report)?;
            fields.required("PermissionsBoundaryArn").map(owned)
        });
        Rights { inline: inline.into_iter().collect(), attached, boundary }
    }

    fn document(
        &self,
        fields: &mut Fields<'n>,
        key: &'static str,
        kind: PolicyKind,
    ) -> Option<String> {
        let Some((place, node)) = fields.take(key) else {
            self.report.add(&fields.location, format!("{key} is missing"));
            return None;
        };
        read_encoded(&place, node, kind, self.report)
    }

    fn role(&self, fields: &mut Fields<'n>) -> Option<Role> {
        let (head, rights) =
            (self.head(fields, Named::Role), self.rights(fields, "RolePolicyList"));
        let trust = self.document(fields, "AssumeRolePolicyDocument", PolicyKind::Resource);
        Some(Role { head: head?.0, rights, description: None, trust, max_session: None })
    }

    fn profile(&self, fields: &mut Fields<'n>) -> Option<Profile> {
        let head = self.head(fields, Named::Profile);
        let role = self.each(fields, "Roles", |fields| {
            fields
                .required("RoleName")
                .map(|name| Spanned { location: name.location, value: name.value.to_owned() })
        });
        Some(Profile { head: head?.0, role: role.into_iter().next() })
    }

    /// A managed policy of the account. One of AWS's own goes to `aws`, unless the authority has it in the same words.
    fn policy(&self, fields: &mut Fields<'n>, aws: &mut Vec<AwsPolicy>) -> Option<Policy> {
        let head = self.head(fields, Named::Policy);
        let description = fields.text("Description").map(|text| text.value.to_owned());
        let default = fields.text("DefaultVersionId").and_then(|text| number(&text, self.report));
        let versions = self.each(fields, "PolicyVersionList", |fields| {
            let version = fields.required("VersionId").and_then(|text| number(&text, self.report));
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
        let (head, arn) = head?;
        let Some((default, document)) = counts else {
            self.report
                .add(&fields.location, "the version that counts is not in its PolicyVersionList");
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
            head,
            description,
            content: Content::Versions { versions, default, next: None },
        })
    }
}

/// Whether two documents are the same but for spaces and the order of keys.
fn same(one: &str, other: &str) -> bool {
    let parsed = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    parsed(one).is_some_and(|one| parsed(other) == Some(one))
}

fn number(text: &Spanned<&str>, report: &DiagnosticSink) -> Option<u32> {
    let number = text.value.strip_prefix('v').and_then(|number| number.parse().ok());
    if number.is_none() {
        report.add(
            &text.location,
            format!("{:?} is no version: they are called v1, v2, …", text.value),
        );
    }
    number
}
