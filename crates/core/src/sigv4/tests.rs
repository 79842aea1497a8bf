//! Cases of AWS's signing test suite, by header and by query: canonical request, signature and
//! verification.

#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::request::canonical_query;
use super::{
    Identity, KeyCache, Normalization, Payload, Request, RequestError, SignedRequest, Signer,
};
use crate::credentials::{Credentials, Secret};
use crate::timestamp::AmzDate;

struct Case {
    name: String,
    folder: PathBuf,
    context: serde_json::Value,
    credentials: Credentials,
    text: String,
}

/// Request file: request line, headers (with continuation lines), an empty line, a body.
struct Parsed<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

fn cases() -> Vec<Case> {
    let root =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/aws-signing-test-suite/v4");
    let mut folders: Vec<PathBuf> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.into_iter().map(case).collect()
}

fn case(folder: PathBuf) -> Case {
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let context: serde_json::Value = serde_json::from_str(&read("context.json")).unwrap();
    let text = |name: &str| context["credentials"][name].as_str().map(str::to_owned);
    let credentials = Credentials {
        access_key_id: text("access_key_id").unwrap().parse().unwrap(),
        secret: Secret::new(text("secret_access_key").unwrap()).unwrap(),
        session_token: text("token").and_then(Secret::new),
        expires: None,
    };
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    let text = read("request.txt");
    Case { name, text, folder, context, credentials }
}

fn parse(text: &str) -> Parsed<'_> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end_matches('\n'), ""));
    let (line, rest) = head.split_once('\n').unwrap();
    let (method, line) = line.split_once(' ').unwrap();
    let target = line.strip_suffix(" HTTP/1.1").unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let starts: Vec<usize> = rest
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|at| !rest[*at..].starts_with(' '))
        .collect();
    let bounds: Vec<usize> = [0].into_iter().chain(starts).chain([rest.len() + 1]).collect();
    let headers =
        bounds.windows(2).map(|pair| rest[pair[0]..pair[1] - 1].split_once(':').unwrap()).collect();
    Parsed { method, path, query, headers, body }
}

impl Case {
    fn signer(&self) -> Signer<'_> {
        let afterwards = self.context["omit_session_token"] == true;
        Signer {
            identity: if afterwards {
                Identity::TokenAfterwards(&self.credentials)
            } else {
                Identity::Whole(&self.credentials)
            },
            region: self.context["region"].as_str().unwrap(),
            service: self.context["service"].as_str().unwrap(),
            normalization: self.normalization(),
            now: self.now(),
        }
    }

    fn normalization(&self) -> Normalization {
        if self.context["normalize"] == true {
            Normalization::Rfc3986
        } else {
            Normalization::AsSent
        }
    }

    /// Returns 2015-08-30T12:36:00Z, the date of the whole suite.
    fn now(&self) -> SystemTime {
        assert_eq!(self.context["timestamp"], "2015-08-30T12:36:00Z");
        AmzDate::parse("20150830T123600Z").unwrap().to_system_time()
    }

    fn expected(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap()
    }
}

fn payload<'a>(case: &Case, parsed: &Parsed<'a>) -> Payload<'a> {
    match (parsed.body.is_empty(), case.context["sign_body"] == true) {
        (true, _) => Payload::Empty,
        (false, true) => Payload::Signed(parsed.body.as_bytes()),
        (false, false) => Payload::Body(parsed.body.as_bytes()),
    }
}

/// Returns the canonical request of a signed request; the suite has it in
/// `…-canonical-request.txt`.
fn canonical_of(case: &Case, request: &Request<'_>, signed: &[String]) -> String {
    let query = canonical_query(request.query, Some("X-Amz-Signature")).unwrap();
    request.canonical(&query, signed, case.normalization()).unwrap()
}

#[test]
fn test_suite_is_signed_and_verified_by_header() {
    let cases = cases();
    assert_eq!(cases.len(), 38);
    for case in &cases {
        let parsed = parse(&case.text);
        let Parsed { method, path, query, .. } = parsed;
        let request = Request {
            method,
            path,
            query,
            headers: &parsed.headers,
            payload: payload(case, &parsed),
        };
        let added = case.signer().sign_by_header(&request).unwrap();
        let headers: Vec<(&str, &str)> = parsed
            .headers
            .iter()
            .copied()
            .chain(added.iter().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let signed = Request { headers: &headers, ..request };

        let found = SignedRequest::parse(&signed).unwrap();
        assert_eq!(
            canonical_of(case, &signed, &found.signed_headers),
            case.expected("header-canonical-request.txt"),
            "{}",
            case.name
        );
        let authorization = &added.last().unwrap().1;
        assert!(
            authorization
                .ends_with(&format!("Signature={}", case.expected("header-signature.txt"))),
            "{}",
            case.name
        );
        if case.normalization() == Normalization::Rfc3986 {
            verify_and_tamper(case, &found, &signed);
        }
    }
}

#[test]
fn test_suite_is_signed_and_verified_by_query() {
    for case in &cases() {
        let parsed = parse(&case.text);
        let Parsed { method, path, query, .. } = parsed;
        let expires = Duration::from_secs(case.context["expiration_in_seconds"].as_u64().unwrap());
        let request = Request {
            method,
            path,
            query,
            headers: &parsed.headers,
            payload: payload(case, &parsed),
        };
        let query = case.signer().sign_by_query(&request, expires).unwrap();
        assert!(
            query.contains(&format!("X-Amz-Signature={}", case.expected("query-signature.txt"))),
            "{}",
            case.name
        );

        let signed = Request { query: &query, ..request };
        let found = SignedRequest::parse(&signed).unwrap();
        if case.context["omit_session_token"] != true {
            assert_eq!(
                canonical_of(case, &signed, &found.signed_headers),
                case.expected("query-canonical-request.txt"),
                "{}",
                case.name
            );
            if case.normalization() == Normalization::Rfc3986 {
                verify_and_tamper(case, &found, &signed);
            }
        }
    }
}

fn verify_and_tamper(case: &Case, found: &SignedRequest, request: &Request<'_>) {
    let (secret, keys, now) = (&case.credentials.secret, KeyCache::default(), case.now());
    let verify = |request: &Request<'_>, secret: &Secret, service: &str, now| {
        found.verify(request, secret, service, &keys, now)
    };
    assert_eq!(verify(request, secret, "service", now), Ok(()), "{}", case.name);
    assert_eq!(
        verify(&Request { method: "PUT", ..*request }, secret, "service", now),
        Err(RequestError::Mismatch)
    );
    assert_eq!(
        verify(request, &Secret::new("other").unwrap(), "service", now),
        Err(RequestError::Mismatch)
    );
    assert_eq!(verify(request, secret, "sts", now), Err(RequestError::Scope("service")));
    assert_eq!(
        verify(request, secret, "service", now + Duration::from_secs(3601)),
        Err(RequestError::Expired)
    );
    assert_eq!(
        verify(request, secret, "service", now - Duration::from_secs(901)),
        Err(RequestError::NotYetCurrent)
    );
}

#[test]
fn missing_duplicate_and_malformed_parts_are_named() {
    let by_query = |query: &str| {
        SignedRequest::parse(&Request {
            method: "GET",
            path: "/",
            query,
            headers: &[],
            payload: Payload::Empty,
        })
        .unwrap_err()
    };
    assert_eq!(by_query("Action=GetCallerIdentity"), RequestError::Unsigned);
    assert_eq!(by_query("X-Amz-Signature=00"), RequestError::Incomplete("X-Amz-Algorithm"));
    assert_eq!(
        by_query(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00"
        ),
        RequestError::Incomplete("X-Amz-Algorithm")
    );
    assert_eq!(by_query("X-Amz-Signature=%zz"), RequestError::Incomplete("query"));
    let by_header = |value: &str| {
        let headers = [("Authorization", value), ("X-Amz-Date", "20150830T123600Z")];
        SignedRequest::parse(&Request {
            method: "GET",
            path: "/",
            query: "",
            headers: &headers,
            payload: Payload::Empty,
        })
        .unwrap_err()
    };
    assert_eq!(by_header("Basic Zm9v"), RequestError::Incomplete("algorithm"));
    assert_eq!(
        by_header("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE"),
        RequestError::Incomplete("SignedHeaders")
    );
    let whole = |scope: &str, headers: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={headers}, \
             Signature={}",
            "0".repeat(64)
        )
    };
    assert_eq!(
        by_header(&whole("20150830/us-east-1/sts/aws4_request", "x-amz-date")),
        RequestError::Incomplete("SignedHeaders")
    );
    assert_eq!(
        by_header(&whole("20150829/us-east-1/sts/aws4_request", "host")),
        RequestError::Scope("day")
    );
    assert_eq!(
        by_header(&whole("20150830/us-east-1/sts", "host")),
        RequestError::Incomplete("Credential")
    );
}
