//! OIDC providers and service accounts.

use super::Reader;
use crate::import_export::entry::Provider;
use crate::import_export::tags::read_tags;
use countersign_config_file::{DiagnosticSink, Fields, Location};

impl<'n> Reader<'n> {
    pub(super) fn provider(&self, fields: &mut Fields<'n>) -> Option<Provider> {
        let account = self.account(fields);
        let url = fields.required("url").and_then(|text| {
            // Plain HTTP is for an issuer of this machine: whoever fetches its keys sees to that.
            let host =
                text.value.strip_prefix("https://").or_else(|| text.value.strip_prefix("http://"));
            let host = host.map(|host| host.trim_end_matches('/')).filter(|host| fits(host));
            if host.is_none() {
                self.report.add(
                    &text.location,
                    format!("{:?} is not the URL of an issuer, as https://HOST/PATH", text.value),
                );
            }
            host.map(|host| (text.value.to_owned(), host.to_owned()))
        });
        let texts = |list: Option<Vec<countersign_config_file::Spanned<String>>>| {
            list.map(|list| list.into_iter().map(|text| text.value).collect())
        };
        let (client_ids, thumbprints) =
            (texts(fields.texts("client_ids")), texts(fields.texts("thumbprints")));
        let (created, tags) = (fields.instant("created"), read_tags(fields, "tags", self.report));
        let (url, host) = url?;
        Some(Provider {
            place: fields.location.clone(),
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

/// Source: CreateOpenIDConnectProvider in the IAM API reference: at most 255 characters, and no query.
fn fits(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"<>".contains(&byte))
}

/// Whether Kubernetes would take the name: labels of DNS, with dots between them.
pub(super) fn check_label(place: &Location, name: &str, report: &DiagnosticSink) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(word)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let fits = name.len() <= 253 && name.split('.').all(label);
    if !fits {
        report.add(place, format!("{name:?} is no name of Kubernetes': small letters, digits and hyphens, with dots between them"));
    }
    fits
}
