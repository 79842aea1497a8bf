//! Protection against requests of web pages. Browsers send requests of any page to local ports;
//! after DNS rebinding of its own name to 127.0.0.1, a page can even read the responses.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};

/// Relation of the requesting page to the target, set by browsers. Source: Fetch Metadata Request
/// Headers, section 2.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks that a request to the admin port does not come from a web page.
pub(super) fn check(headers: &HeaderMap) -> Result<(), &'static str> {
    // Pages cannot set or remove these headers: they are forbidden header names.
    if headers.contains_key(ORIGIN) || headers.get(FETCH_SITE).is_some_and(|site| site != "none") {
        return Err("requests from web pages are refused");
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() || !host.is_some_and(is_loopback) {
        return Err("the Host header must be localhost or a loopback address");
    }
    Ok(())
}

/// Returns true if a `Host` header names this machine independent of DNS.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The colon in `[::1]` precedes no port.
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn check_headers(headers: &[(&'static str, &'static str)]) -> Result<(), &'static str> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&map)
    }

    #[test]
    fn local_programs_are_accepted() {
        for host in [
            "localhost",
            "LOCALHOST:9091",
            "127.0.0.1",
            "127.0.0.1:9091",
            "127.8.9.1:1",
            "[::1]",
            "[::1]:9091",
        ] {
            assert_eq!(check_headers(&[("host", host)]), Ok(()), "{host}");
        }
        assert_eq!(check_headers(&[("host", "localhost"), ("sec-fetch-site", "none")]), Ok(()));
    }

    #[test]
    fn names_that_dns_resolves_are_refused() {
        for host in [
            "evil.example",
            "evil.example:9091",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "",
            "[::1",
            "::2",
        ] {
            assert!(check_headers(&[("host", host)]).is_err(), "{host}");
        }
        assert!(check_headers(&[]).is_err());
        assert!(check_headers(&[("host", "localhost"), ("host", "localhost")]).is_err());
    }

    #[test]
    fn web_pages_are_refused() {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let checked = check_headers(&[("host", "localhost"), (name, value)]);
            assert!(checked.is_err(), "{name}: {value}");
        }
    }
}
