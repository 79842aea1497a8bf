//! OIDC providers.

use super::Reader;
use crate::import_export::entry::Provider;
use crate::import_export::tags::read_tags;
use countersign_config_file::Fields;

impl<'n> Reader<'n> {
    pub(super) fn provider(&self, fields: &mut Fields<'n>) -> Option<Provider> {
        let account = self.account(fields);
        let url = fields.required("url").and_then(|text| {
            // Plain HTTP is for issuers on this machine; the fetch of their keys enforces that.
            let host =
                text.value.strip_prefix("https://").or_else(|| text.value.strip_prefix("http://"));
            let host = host.map(|host| host.trim_end_matches('/')).filter(|host| is_valid(host));
            if host.is_none() {
                self.diagnostics.add(
                    &text.location,
                    format!("{:?} is not an issuer's URL such as https://HOST/PATH", text.value),
                );
            }
            host.map(|host| (text.value.to_owned(), host.to_owned()))
        });
        let texts = |list: Option<Vec<countersign_config_file::Spanned<String>>>| {
            list.map(|list| list.into_iter().map(|text| text.value).collect())
        };
        let (client_ids, thumbprints) =
            (texts(fields.texts("client_ids")), texts(fields.texts("thumbprints")));
        let (created, tags) =
            (fields.instant("created"), read_tags(fields, "tags", self.diagnostics));
        let (url, host) = url?;
        Some(Provider {
            location: fields.location.clone(),
            account: account?,
            url,
            host,
            client_ids,
            thumbprints,
            created,
            tags,
        })
    }
}

/// Source: CreateOpenIDConnectProvider in the IAM API reference: at most 255 characters, no query.
fn is_valid(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>".contains(&byte))
}
