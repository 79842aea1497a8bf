//! The authority's own file format: lists of accounts, users, roles and other records, in TOML or
//! JSON.

use countersign_core::json::Node;
use countersign_core::name::AccountId;
use countersign_core::policy::PolicyKind;

use super::document;
use super::entry::{
    Account, Entries, EntryHeader, Group, Instance, Permissions, Profile, ServiceAccount,
};
use super::name::{NameKind, check_inline, check_kubernetes_name, check_path};
use super::tags::read_tags;
use crate::model::{Address, Level};
use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned, members};

mod federation;
mod identity;
mod policy;

/// Reads a file.
pub(super) fn read(root: &Node, diagnostics: &DiagnosticSink) -> Entries {
    let mut entries = Entries::default();
    let Some(mut fields) = Fields::of(root, Location::root(root), diagnostics) else {
        return entries;
    };
    let before = diagnostics.count();
    entries.accounts =
        each(&mut fields, "accounts", diagnostics, |fields| account(fields, diagnostics));
    let default_account = match entries.accounts.as_slice() {
        [only] => DefaultAccount::Account(only.id.clone()),
        // The account may be missing only because of an error reported above.
        _ if diagnostics.count() > before => DefaultAccount::Unknown,
        _ => DefaultAccount::None,
    };
    let reader = Reader { default_account, diagnostics };
    entries.aws_policies =
        each(&mut fields, "aws_policies", diagnostics, |fields| reader.aws_policy(fields));
    entries.policies = each(&mut fields, "policies", diagnostics, |fields| reader.policy(fields));
    entries.providers =
        each(&mut fields, "oidc_providers", diagnostics, |fields| reader.provider(fields));
    entries.groups = each(&mut fields, "groups", diagnostics, |fields| reader.group(fields));
    entries.roles = each(&mut fields, "roles", diagnostics, |fields| reader.role(fields));
    entries.users = each(&mut fields, "users", diagnostics, |fields| reader.user(fields));
    entries.profiles =
        each(&mut fields, "instance_profiles", diagnostics, |fields| reader.profile(fields));
    entries.instances =
        each(&mut fields, "instances", diagnostics, |fields| reader.instance(fields));
    entries.service_accounts =
        each(&mut fields, "service_accounts", diagnostics, |fields| reader.service_account(fields));
    fields.finish();
    entries
}

/// Reads the tables of a list. `read` returns `None` for an invalid table.
fn each<'n, T>(
    fields: &mut Fields<'n>,
    key: &'static str,
    diagnostics: &'n DiagnosticSink,
    read: impl Fn(&mut Fields<'n>) -> Option<T>,
) -> Vec<T> {
    let list = fields.list(key).unwrap_or_default();
    let entry = |(location, node)| {
        let mut fields = Fields::of(node, location, diagnostics)?;
        let entry = read(&mut fields);
        if entry.is_none() {
            fields.broken();
        }
        fields.finish();
        entry
    };
    list.into_iter().filter_map(entry).collect()
}

/// Default of the field `account`.
enum DefaultAccount {
    Account(AccountId),
    Unknown,
    None,
}

struct Reader<'n> {
    default_account: DefaultAccount,
    diagnostics: &'n DiagnosticSink,
}

impl<'n> Reader<'n> {
    fn account(&self, fields: &mut Fields<'n>) -> Option<AccountId> {
        if let Some(named) = fields.text("account") {
            return countersign_config_file::parse(&named, self.diagnostics);
        }
        match &self.default_account {
            DefaultAccount::Account(account) => return Some(account.clone()),
            DefaultAccount::Unknown => {}
            DefaultAccount::None => {
                self.diagnostics.add(
                    &fields.location,
                    "account is missing: it is optional only if the file has exactly one account",
                );
            }
        }
        None
    }

    /// Reads the fields common to IAM's entities. Reads all of them, so that all errors are
    /// reported.
    fn header(&self, fields: &mut Fields<'n>, kind: NameKind) -> Option<EntryHeader> {
        let account = self.account(fields);
        let name = fields
            .required("name")
            .filter(|name| kind.check(&name.location, name.value, self.diagnostics));
        let path = fields
            .text("path")
            .filter(|path| check_path(&path.location, path.value, self.diagnostics));
        let id =
            fields.text("id").filter(|id| kind.check_id(&id.location, id.value, self.diagnostics));
        let created = fields.instant("created");
        let tags = if kind == NameKind::Group {
            None
        } else {
            read_tags(fields, "tags", self.diagnostics)
        };
        Some(EntryHeader {
            location: fields.location.clone(),
            account: account?,
            name: name?.value.to_owned(),
            path: path.map(|path| path.value.to_owned()),
            unique_id: id.map(|id| id.value.to_owned()),
            created,
            tags,
        })
    }

    fn permissions(&self, fields: &mut Fields<'n>, kind: NameKind) -> Permissions {
        let mut permissions = Permissions::default();
        for (location, name, node) in fields.map("policies").unwrap_or_default() {
            check_inline(&location, name, self.diagnostics);
            if let Some(text) =
                document::read(&location, node, PolicyKind::Identity, self.diagnostics)
            {
                permissions.inline.insert(name.to_owned(), text);
            }
        }
        permissions.attached = fields.texts("attached").unwrap_or_default();
        if kind != NameKind::Group {
            permissions.boundary = fields
                .text("boundary")
                .map(|text| Spanned { location: text.location, value: text.value.to_owned() });
        }
        permissions
    }

    fn group(&self, fields: &mut Fields<'n>) -> Option<Group> {
        let (header, permissions) =
            (self.header(fields, NameKind::Group), self.permissions(fields, NameKind::Group));
        Some(Group { header: header?, permissions })
    }

    fn profile(&self, fields: &mut Fields<'n>) -> Option<Profile> {
        let header = self.header(fields, NameKind::Profile);
        let role = fields
            .text("role")
            .map(|role| Spanned { location: role.location, value: role.value.to_owned() });
        Some(Profile { header: header?, role })
    }

    fn instance(&self, fields: &mut Fields<'n>) -> Option<Instance> {
        let account = self.account(fields);
        let name = fields
            .required("name")
            .and_then(|name| countersign_config_file::parse(&name, self.diagnostics));
        let engine = fields
            .required("engine")
            .and_then(|engine| countersign_config_file::parse(&engine, self.diagnostics));
        let region = fields
            .required("region")
            .and_then(|region| countersign_config_file::parse(&region, self.diagnostics));
        let (resource_id, iam) = (fields.parsed("resource_id"), fields.flag("iam"));
        let addresses = each(fields, "addresses", self.diagnostics, |fields| self.address(fields));
        let location = fields.location.clone();
        Some(Instance {
            location,
            account: account?,
            name: name?,
            engine: engine?,
            region: region?,
            resource_id,
            iam,
            addresses,
        })
    }

    fn address(&self, fields: &mut Fields<'n>) -> Option<Address> {
        let host = fields
            .required("host")
            .and_then(|host| countersign_config_file::parse(&host, self.diagnostics));
        fields.require("port");
        let port = fields.number("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
        let resource_id = fields.parsed("resource_id");
        Some(Address { host: host?, port: port?, resource_id })
    }

    fn service_account(&self, fields: &mut Fields<'n>) -> Option<ServiceAccount> {
        let mut label = |key| {
            fields
                .required(key)
                .filter(|text| check_kubernetes_name(&text.location, text.value, self.diagnostics))
        };
        let (namespace, name) = (label("namespace"), label("name"));
        let role = fields
            .text("pod_identity_role")
            .map(|role| Spanned { location: role.location, value: role.value.to_owned() });
        Some(ServiceAccount {
            namespace: namespace?.value.to_owned(),
            name: name?.value.to_owned(),
            role,
        })
    }
}

fn account<'n>(fields: &mut Fields<'n>, diagnostics: &'n DiagnosticSink) -> Option<Account> {
    let id = fields.required("id").and_then(|id| countersign_config_file::parse(&id, diagnostics));
    let partition = fields.parsed("partition");
    let mut levels = |key, kind| {
        let list = fields.list(key)?;
        Some(
            list.into_iter()
                .filter_map(|(location, node)| level(&location, node, kind, diagnostics))
                .collect(),
        )
    };
    let service_control = levels("service_control", PolicyKind::ServiceControl);
    let resource_control = levels("resource_control", PolicyKind::ResourceControl);
    Some(Account {
        location: fields.location.clone(),
        id: id?,
        partition,
        service_control,
        resource_control,
    })
}

/// Reads the control policies of one level, by name.
fn level(
    location: &Location,
    node: &Node,
    kind: PolicyKind,
    diagnostics: &DiagnosticSink,
) -> Option<Level> {
    let read = |(location, name, node): (Location, &str, &Node)| {
        let text = document::read(&location, node, kind, diagnostics)?;
        Some((name.to_owned(), text))
    };
    Some(members(location, node, diagnostics)?.into_iter().filter_map(read).collect())
}
