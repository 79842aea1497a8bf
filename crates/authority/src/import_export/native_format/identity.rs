//! Users and roles.

use countersign_core::name::AccessKeyId;
use countersign_core::policy::PolicyKind;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::{Reader, document, each};
use crate::import_export::entry::{Key, Role, User};
use crate::import_export::name::Named;
use countersign_config_file::Fields;

impl<'n> Reader<'n> {
    pub(super) fn user(&self, fields: &mut Fields<'n>) -> Option<User> {
        let (head, rights) = (self.head(fields, Named::User), self.rights(fields, Named::User));
        let groups = fields.texts("groups").unwrap_or_default();
        let keys = each(fields, "access_keys", self.report, |fields| self.key(fields));
        let wants_key = fields.flag("make_access_key").unwrap_or_default();
        Some(User { head: head?, rights, groups, keys, wants_key })
    }

    fn key(&self, fields: &mut Fields<'n>) -> Option<Key> {
        let id = fields.required("id").and_then(|text| {
            let id: AccessKeyId = countersign_config_file::parse(&text, self.report)?;
            // Keys that begin with ASIA are looked for in session tokens.
            if id.as_str().starts_with("ASIA") {
                self.report.add(
                    &text.location,
                    "keys that begin with ASIA are those of sessions; a user's begins with AKIA",
                );
            }
            Some(id)
        });
        let secret = fields.text("secret").and_then(|text| {
            let fits = (1..=256).contains(&text.value.len())
                && text.value.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits {
                self.report
                    .add(&text.location, "the secret is not 1 to 256 visible ASCII characters");
            }
            fits.then(|| Zeroizing::new(text.value.to_owned()))
        });
        let status = fields.text("status").and_then(|text| match text.value {
            "active" => Some(KeyStatus::Active),
            "inactive" => Some(KeyStatus::Inactive),
            other => {
                self.report.add(&text.location, format!("{other:?} is not active or inactive"));
                None
            }
        });
        let created = fields.instant("created");
        Some(Key { place: fields.location.clone(), id: id?, secret, status, created })
    }

    pub(super) fn role(&self, fields: &mut Fields<'n>) -> Option<Role> {
        let (head, rights) = (self.head(fields, Named::Role), self.rights(fields, Named::Role));
        let description = fields.text("description").map(|text| text.value.to_owned());
        let trust = fields.take("trust").and_then(|(place, node)| {
            document::read(&place, node, PolicyKind::Resource, self.report)
        });
        // Source: CreateRole in the IAM API reference, MaxSessionDuration.
        let max_session = fields.number("max_session", 3600..=43_200);
        Some(Role { head: head?, rights, description, trust, max_session })
    }
}
