//! Users and roles.

use countersign_core::name::AccessKeyId;
use countersign_core::policy::PolicyKind;
use countersign_core::token::KeyStatus;
use zeroize::Zeroizing;

use super::{Reader, each};
use crate::import_export::document;
use crate::import_export::entry::{Key, Role, User};
use crate::import_export::name::NameKind;
use countersign_config_file::Fields;

impl<'n> Reader<'n> {
    pub(super) fn user(&self, fields: &mut Fields<'n>) -> Option<User> {
        let (header, permissions) =
            (self.header(fields, NameKind::User), self.permissions(fields, NameKind::User));
        let groups = fields.texts("groups").unwrap_or_default();
        let keys = each(fields, "access_keys", self.diagnostics, |fields| self.key(fields));
        let wants_key = fields.flag("make_access_key").unwrap_or_default();
        Some(User { header: header?, permissions, groups, keys, wants_key })
    }

    fn key(&self, fields: &mut Fields<'n>) -> Option<Key> {
        let id = fields.required("id").and_then(|text| {
            let id: AccessKeyId = countersign_config_file::parse(&text, self.diagnostics)?;
            // Ids that begin with ASIA are looked up in session tokens.
            if id.as_str().starts_with("ASIA") {
                self.diagnostics.add(
                    &text.location,
                    "access key ids of sessions begin with ASIA; those of users begin with AKIA",
                );
            }
            Some(id)
        });
        let secret = fields.text("secret").and_then(|text| {
            let fits = (1..=256).contains(&text.value.len())
                && text.value.bytes().all(|byte| byte.is_ascii_graphic());
            if !fits {
                self.diagnostics
                    .add(&text.location, "secret is not 1 to 256 visible ASCII characters");
            }
            fits.then(|| Zeroizing::new(text.value.to_owned()))
        });
        let status = fields.text("status").and_then(|text| match text.value {
            "active" => Some(KeyStatus::Active),
            "inactive" => Some(KeyStatus::Inactive),
            other => {
                self.diagnostics
                    .add(&text.location, format!("{other:?} is neither active nor inactive"));
                None
            }
        });
        let created = fields.instant("created");
        Some(Key { location: fields.location.clone(), id: id?, secret, status, created })
    }

    pub(super) fn role(&self, fields: &mut Fields<'n>) -> Option<Role> {
        let (header, permissions) =
            (self.header(fields, NameKind::Role), self.permissions(fields, NameKind::Role));
        let description = fields.text("description").map(|text| text.value.to_owned());
        let trust = fields.take("trust").and_then(|(location, node)| {
            document::read(&location, node, PolicyKind::Resource, self.diagnostics)
        });
        // Source: CreateRole in the IAM API reference, MaxSessionDuration.
        let max_session = fields.number("max_session", 3600..=43_200);
        Some(Role { header: header?, permissions, description, trust, max_session })
    }
}
