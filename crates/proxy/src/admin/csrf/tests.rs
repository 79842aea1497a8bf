use hyper::header::HeaderValue;

use super::*;

fn with(headers: &[(&'static str, &'static str)]) -> Option<&'static str> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    refusal(&map)
}

#[test]
fn programs_of_this_machine_are_answered() {
    for host in [
        "localhost",
        "LOCALHOST:9091",
        "127.0.0.1",
        "127.0.0.1:9091",
        "127.8.9.1:1",
        "[::1]",
        "[::1]:9091",
    ] {
        assert_eq!(with(&[("host", host)]), None, "{host}");
    }
    assert_eq!(with(&[("host", "localhost"), ("sec-fetch-site", "none")]), None);
}

#[test]
fn names_that_dns_could_rebind_are_not() {
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
        assert!(with(&[("host", host)]).is_some(), "{host}");
    }
    assert!(with(&[]).is_some());
    assert!(with(&[("host", "localhost"), ("host", "localhost")]).is_some());
}

#[test]
fn web_pages_are_not() {
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        assert!(with(&[("host", "localhost"), (name, value)]).is_some(), "{name}: {value}");
    }
}
