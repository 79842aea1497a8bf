//! Whether a request may come from a web page. A browser sends what any page asks it to, to ports of its own machine too; and where a
//! page's own name is made to mean 127.0.0.1 (DNS rebinding), it even lets the page read the answer.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

/// What browsers say of whoever asks. Source: Fetch Metadata Request Headers, section 2.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request on the admin port is refused, where it is.
pub(super) fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    // A page can set neither: they are forbidden header names.
    if headers.contains_key(ORIGIN) || headers.get(FETCH_SITE).is_some_and(|site| site != "none") {
        return Some("requests of web pages are not answered here");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(is_loopback) {
        return Some("the Host header has to be localhost or a loopback address");
    }
    None
}

/// Whether a `Host` means this machine whatever DNS says.
fn is_loopback(host: &str) -> bool {
    let bare = match host.rsplit_once(':') {
        // The colon of `[::1]` is not that of a port.
        Some((bare, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => bare,
        _ => host,
    };
    let literal = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    bare.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
