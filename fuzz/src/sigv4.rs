use countersign_core::sigv4::{KeyCache, Payload, Request, SignedRequest};

/// Signed AWS request. The input is laid out as HTTP: `METHOD PATH?QUERY`, headers, an empty
/// line, the body.
pub fn request(data: &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at_checked(end).unwrap_or((data, &[]));
    let body = body.get(2..).unwrap_or_default();
    let Ok(head) = str::from_utf8(head) else {
        return;
    };
    let (line, headers) = head.split_once('\n').unwrap_or((head, ""));
    let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let headers: Vec<(&str, &str)> =
        headers.lines().filter_map(|line| line.split_once(':')).collect();

    for payload in [Payload::Body(body), Payload::Signed(body), Payload::Empty] {
        let request = Request { method, path, query, headers: &headers, payload };
        let Ok(signed) = SignedRequest::parse(&request) else {
            return;
        };
        let Some(key) = crate::fixture::key() else { return };
        let _ = signed.verify(
            &request,
            &key.secret,
            "service",
            &KeyCache::default(),
            crate::fixture::now(),
        );
    }
}
