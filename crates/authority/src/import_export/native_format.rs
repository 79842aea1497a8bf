//! The authority's own form of file: lists of accounts, users, roles and the rest, in TOML or JSON.

use countersign_core::json::Node;
use countersign_core::name::AccountId;
use countersign_core::policy::PolicyKind;

use super::document;
use super::entry::{Account, Entries, Group, Head, Instance, Profile, Rights, ServiceAccount};
use super::name::{Named, check_inline, check_path};
use super::tags::read_tags;
use crate::model::{Address, Level};
use countersign_config_file::{DiagnosticSink, Fields, Location, Spanned, members};

mod federation;
mod identity;
mod policy;

pub(super) use policy::MAX_VERSIONS;

/// Reads one file.
pub(super) fn read(root: &Node, report: &DiagnosticSink) -> Entries {
    let mut entries = Entries::default();
    let Some(mut fields) = Fields::of(root, Location::root(root), report) else {
        return entries;
    };
    let before = report.count();
    entries.accounts = each(&mut fields, "accounts", report, |fields| account(fields, report));
    let usual = match entries.accounts.as_slice() {
        [only] => Usual::Account(only.id.clone()),
        // The user's account is unknown because another mistake hides it.
        _ if report.count() > before => Usual::Hidden,
        _ => Usual::None,
    };
    let reader = Reader { usual, report };
    entries.aws_policies =
        each(&mut fields, "aws_policies", report, |fields| reader.aws_policy(fields));
    entries.policies = each(&mut fields, "policies", report, |fields| reader.policy(fields));
    entries.providers =
        each(&mut fields, "oidc_providers", report, |fields| reader.provider(fields));
    entries.groups = each(&mut fields, "groups", report, |fields| reader.group(fields));
    entries.roles = each(&mut fields, "roles", report, |fields| reader.role(fields));
    entries.users = each(&mut fields, "users", report, |fields| reader.user(fields));
    entries.profiles =
        each(&mut fields, "instance_profiles", report, |fields| reader.profile(fields));
    entries.instances = each(&mut fields, "instances", report, |fields| reader.instance(fields));
    entries.service_accounts =
        each(&mut fields, "service_accounts", report, |fields| reader.service_account(fields));
    fields.finish();
    entries
}

/// Reads the tables of a list. `read` leaves none where something is wrong with one.
fn each<'n, T>(
    fields: &mut Fields<'n>,
    key: &'static str,
    report: &'n DiagnosticSink,
    read: impl Fn(&mut Fields<'n>) -> Option<T>,
) -> Vec<T> {
    let list = fields.list(key).unwrap_or_default();
    let entry = |(place, node)| {
        let mut fields = Fields::of(node, place, report)?;
        let entry = read(&mut fields);
        if entry.is_none() {
            fields.broken();
        }
        fields.finish();
        entry
    };
    list.into_iter().filter_map(entry).collect()
}

/// Which account something belongs to that names none.
enum Usual {
    Account(AccountId),
    Hidden,
    None,
}

struct Reader<'n> {
    usual: Usual,
    report: &'n DiagnosticSink,
}

impl<'n> Reader<'n> {
    fn account(&self, fields: &mut Fields<'n>) -> Option<AccountId> {
        if let Some(named) = fields.text("account") {
            return countersign_config_file::parse(&named, self.report);
        }
        match &self.usual {
            Usual::Account(account) => return Some(account.clone()),
            Usual::Hidden => {}
            Usual::None => {
                self.report.add(&fields.location, "account is missing: it can be left out where the file has exactly one of accounts");
            }
        }
        None
    }

    /// Name and the rest that everything of IAM's has. Every field is read, so that all mistakes come to light.
    fn head(&self, fields: &mut Fields<'n>, kind: Named) -> Option<Head> {
        let account = self.account(fields);
        let name = fields
            .required("name")
            .filter(|name| kind.check(&name.location, name.value, self.report));
        let path =
            fields.text("path").filter(|path| check_path(&path.location, path.value, self.report));
        let id = fields.text("id").filter(|id| kind.check_id(&id.location, id.value, self.report));
        let created = fields.instant("created");
        let tags = if kind == Named::Group { None } else { read_tags(fields, "tags", self.report) };
        Some(Head {
            place: fields.location.clone(),
            account: account?,
            name: name?.value.to_owned(),
            path: path.map(|path| path.value.to_owned()),
            unique_id: id.map(|id| id.value.to_owned()),
            created,
            tags,
        })
    }

    fn rights(&self, fields: &mut Fields<'n>, kind: Named) -> Rights {
        let mut rights = Rights::default();
        for (place, name, node) in fields.map("policies").unwrap_or_default() {
            check_inline(&place, name, self.report);
            if let Some(text) = document::read(&place, node, PolicyKind::Identity, self.report) {
                rights.inline.insert(name.to_owned(), text);
            }
        }
        rights.attached = fields.texts("attached").unwrap_or_default();
        if kind != Named::Group {
            rights.boundary = fields
                .text("boundary")
                .map(|text| Spanned { location: text.location, value: text.value.to_owned() });
        }
        rights
    }

    fn group(&self, fields: &mut Fields<'n>) -> Option<Group> {
        let (head, rights) = (self.head(fields, Named::Group), self.rights(fields, Named::Group));
        Some(Group { head: head?, rights })
    }

    fn profile(&self, fields: &mut Fields<'n>) -> Option<Profile> {
        let head = self.head(fields, Named::Profile);
        let role = fields
            .text("role")
            .map(|role| Spanned { location: role.location, value: role.value.to_owned() });
        Some(Profile { head: head?, role })
    }

    fn instance(&self, fields: &mut Fields<'n>) -> Option<Instance> {
        let account = self.account(fields);
        let name = fields
            .required("name")
            .and_then(|name| countersign_config_file::parse(&name, self.report));
        let engine = fields
            .required("engine")
            .and_then(|engine| countersign_config_file::parse(&engine, self.report));
        let region = fields
            .required("region")
            .and_then(|region| countersign_config_file::parse(&region, self.report));
        let (resource_id, iam) = (fields.parsed("resource_id"), fields.flag("iam"));
        let addresses = each(fields, "addresses", self.report, |fields| self.address(fields));
        let place = fields.location.clone();
        Some(Instance {
            place,
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
            .and_then(|host| countersign_config_file::parse(&host, self.report));
        fields.require("port");
        let port = fields.number("port", 1..=65_535).and_then(|port| u16::try_from(port).ok());
        let resource_id = fields.parsed("resource_id");
        Some(Address { host: host?, port: port?, resource_id })
    }

    fn service_account(&self, fields: &mut Fields<'n>) -> Option<ServiceAccount> {
        let mut label = |key| {
            fields
                .required(key)
                .filter(|text| federation::check_label(&text.location, text.value, self.report))
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

fn account<'n>(fields: &mut Fields<'n>, report: &'n DiagnosticSink) -> Option<Account> {
    let id = fields.required("id").and_then(|id| countersign_config_file::parse(&id, report));
    let partition = fields.parsed("partition");
    let mut levels = |key, kind| {
        let list = fields.list(key)?;
        Some(
            list.into_iter()
                .filter_map(|(place, node)| level(&place, node, kind, report))
                .collect(),
        )
    };
    let service_control = levels("service_control", PolicyKind::ServiceControl);
    let resource_control = levels("resource_control", PolicyKind::ResourceControl);
    Some(Account {
        place: fields.location.clone(),
        id: id?,
        partition,
        service_control,
        resource_control,
    })
}

/// The control policies of one level, by name.
fn level(
    place: &Location,
    node: &Node,
    kind: PolicyKind,
    report: &DiagnosticSink,
) -> Option<Level> {
    let read = |(place, name, node): (Location, &str, &Node)| {
        let text = document::read(&place, node, kind, report)?;
        Some((name.to_owned(), text))
    };
    Some(members(place, node, report)?.into_iter().filter_map(read).collect())
}
