//! Canonical forms of path, query and headers.

use std::borrow::Cow;

use super::encode;

/// Canonical path: each byte but the slash is percent-encoded, again if it already was. With
/// `normalize`, empty, `.` and `..` segments are resolved first, as in RFC 3986.
pub(super) fn path(raw: &str, normalize: bool) -> String {
    let path = if normalize { Cow::Owned(resolve_dots(raw)) } else { Cow::Borrowed(raw) };
    let mut out = String::with_capacity(path.len() + 8);
    encode::encode_path(&mut out, if path.is_empty() { "/" } else { &path });
    out
}

fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let directory = !kept.is_empty() && (path.ends_with('/') || path.ends_with("/."));
    format!("/{}{}", kept.join("/"), if directory { "/" } else { "" })
}

/// Decodes the parameters of a raw query; `None` if an escape is malformed. A name without `=` has
/// an empty value.
pub(super) fn parameters(query: &str) -> Option<Vec<(Cow<'_, str>, Cow<'_, str>)>> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| Some((encode::decode(name)?, encode::decode(value)?)))
        .collect()
}

/// Canonical query: each name and value percent-encoded, sorted by encoded name, then by value.
pub(super) fn query<'a>(parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let encoded = |text: &str| {
        let mut out = String::with_capacity(text.len() + 8);
        encode::encode(&mut out, text);
        out
    };
    let mut pairs: Vec<_> =
        parameters.into_iter().map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Canonical headers: one `name:value` line for each name in `signed` (sorted, lower case), with
/// white space folded and the values of a repeated header joined by commas in their order. `None`
/// if a header is absent.
pub(super) fn headers(headers: &[(&str, &str)], signed: &[String]) -> Option<String> {
    let mut out = String::new();
    for name in signed {
        let values: Vec<String> = headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| fold(value))
            .collect();
        if values.is_empty() {
            return None;
        }
        out.extend([name.as_str(), ":", &values.join(","), "\n"]);
    }
    Some(out)
}

fn fold(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
