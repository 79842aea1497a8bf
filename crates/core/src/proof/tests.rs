use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{Audience, Binding, MAX_PROOF, StsEndpoint, TrustedSts, UnverifiedProof, mint};
use crate::credentials::{Credentials, Secret};
use crate::failure::{Class, Failure};
use crate::name::DbUser;
use crate::region::{Partition, Region};
use crate::sigv4::{KeyCache, Payload, Request, RequestError, SignedRequest};
use crate::timestamp::AmzDate;

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY").unwrap(),
        session_token: session_token.and_then(Secret::new),
        expires: None,
    }
}

fn noon() -> SystemTime {
    AmzDate::parse("20240115T120000Z").unwrap().to_system_time()
}

fn orders() -> Audience {
    "orders".parse().unwrap()
}

fn here() -> Region {
    "eu-west-1".parse().unwrap()
}

fn aws() -> TrustedSts {
    TrustedSts::aws(Partition::Aws)
}

fn minted(user: Option<&DbUser>, session_token: Option<&str>) -> String {
    let binding = Binding { audience: &orders(), user };
    mint(&credentials(session_token), &StsEndpoint::regional(&here()), &here(), binding, noon())
        .expose()
        .to_owned()
}

fn good() -> String {
    minted(None, None)
}

/// Returns the class of the failure that rejects a proof.
fn failure_class(text: &str, sts: &TrustedSts, now: SystemTime) -> Option<Class> {
    let binding = Binding { audience: &orders(), user: None };
    let class = |failure: Failure| failure.class;
    UnverifiedProof::parse(text)
        .and_then(|proof| proof.request(sts, binding, now))
        .map_err(class)
        .err()
}

/// Verifies the request that the verifier builds from `text`, as STS does.
fn confirmed(text: &str, binding: Binding<'_>) -> Result<(), RequestError> {
    let built = UnverifiedProof::parse(text).unwrap().request(&aws(), binding, noon()).unwrap();
    let (host, query) = built.url().strip_prefix("https://").unwrap().split_once("/?").unwrap();
    let mut headers = vec![("host", host)];
    headers.extend(built.headers().iter().map(|(name, value)| (*name, value.as_str())));
    let request =
        Request { method: "GET", path: "/", query, headers: &headers, payload: Payload::Body(b"") };
    let signed = SignedRequest::parse(&request).unwrap();
    signed.verify(&request, &credentials(None).secret, "sts", &KeyCache::default(), noon())
}

#[test]
fn proof_has_the_documented_form() {
    let text = good();
    let (rest, signature) = text.rsplit_once("&X-Amz-Signature=").unwrap();
    assert_eq!(
        rest,
        "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20240115%2Feu-west-1%2Fsts%2Faws4_request&X-Amz-Date=20240115T120000Z\
         &X-Amz-Expires=900&X-Amz-SignedHeaders=host%3Bx-countersign-audience"
    );
    assert_eq!(signature.len(), 64);
    let debug = format!(
        "{:?}",
        mint(
            &credentials(None),
            &StsEndpoint::regional(&here()),
            &here(),
            Binding { audience: &orders(), user: None },
            noon()
        )
    );
    assert_eq!(debug, "Proof([redacted])");
    let parsed = format!("{:?}", UnverifiedProof::parse(&text).unwrap());
    assert!(!parsed.contains(signature), "{parsed}");
}

#[test]
fn proof_is_confirmed_for_its_audience_and_user_only() {
    let (jane, john) = ("jänë doe".parse::<DbUser>().unwrap(), "john".parse().unwrap());
    let other = "payments".parse().unwrap();
    let (orders, mismatch) = (orders(), Err(RequestError::Mismatch));
    for token in [None, Some("FwoGZXIvYXdzE+/token==")] {
        let (free, bound) = (minted(None, token), minted(Some(&jane), token));
        assert_eq!(confirmed(&free, Binding { audience: &orders, user: Some(&john) }), Ok(()));
        assert_eq!(confirmed(&free, Binding { audience: &other, user: None }), mismatch);
        assert_eq!(confirmed(&bound, Binding { audience: &orders, user: Some(&jane) }), Ok(()));
        assert_eq!(confirmed(&bound, Binding { audience: &orders, user: Some(&john) }), mismatch);
        assert_eq!(confirmed(&bound, Binding { audience: &other, user: Some(&jane) }), mismatch);
        assert_eq!(failure_class(&bound, &aws(), noon()), Some(Class::WrongUser));
    }
}

/// The verifier does not forward the received text: it accepts any order and case, and sends one.
#[test]
fn sts_request_is_rebuilt_from_the_parameters() {
    let text = good();
    let (address, query) = text.split_once('?').unwrap();
    let mut pairs: Vec<&str> = query.split('&').collect();
    pairs.reverse();
    let shuffled = format!("{address}?{}", pairs.join("&"))
        .replace("Action=", "aCTION=")
        .replace("%2F", "/")
        .replace("%3B", "%3b");
    let binding = Binding { audience: &orders(), user: None };
    let rebuilt =
        UnverifiedProof::parse(&shuffled).unwrap().request(&aws(), binding, noon()).unwrap();
    assert_eq!(
        rebuilt.headers(),
        [
            ("accept", "application/json".to_owned()),
            ("x-countersign-audience", "orders".to_owned())
        ]
    );
    assert_eq!(confirmed(&shuffled, binding), Ok(()));
    assert_eq!(format!("{rebuilt:?}"), "StsRequest([redacted])");
}

/// Replaces a part of the valid proof.
fn replaced(from: &str, to: &str) -> String {
    let good = good();
    assert!(good.contains(from), "{from}");
    good.replace(from, to)
}

#[test]
fn extra_text_and_parameters_are_malformed() {
    let good = good();
    for text in [
        String::new(),
        "hunter2".to_owned(),
        format!("{good}#fragment"),
        format!("{good} "),
        format!("{good}\n"),
        format!("{good}&"),
        format!("{good}&X-Amz-Signature"),
        format!("{good}&Foo=bar"),
        format!("{good}&Action=GetCallerIdentity"),
        format!("{good}&action=GetSessionToken"),
        format!("{good}&X-AMZ-SIGNEDHEADERS=host"),
        format!("{good}&x-amz-credential=x"),
        format!("{good}&%41ction=GetSessionToken"),
        format!("{good}&X-Amz-Security-Token={}", "x".repeat(MAX_PROOF)),
        format!("{good}&X-Amz-Security-Token=a%0d%0ab"),
        format!("{good}&X-Amz-Security-Token=%zz"),
        format!("{good}&X-Amz-Security-Token="),
    ] {
        assert_eq!(failure_class(&text, &aws(), noon()), Some(Class::Malformed), "{text}");
    }
}

#[test]
fn changed_url_and_parameters_are_malformed() {
    for text in [
        replaced("https://", "ftp://"),
        replaced("https://", "HTTPS://"),
        replaced("https://", ""),
        replaced("https://", "https://user:password@"),
        replaced("com/?", "com?"),
        replaced("com/?", "com//?"),
        replaced("com/?", "com/x?"),
        replaced("com/?", "com/../?"),
        replaced("com/?", "com/%2e?"),
        replaced("com/?", "com\\/?"),
        replaced("com/?", "com%2f/?"),
        replaced("Version=2011-06-15", "Version=2010-05-08"),
        replaced("Version=2011-06-15&", ""),
        replaced("HMAC-SHA256", "HMAC-SHA1"),
        replaced("SignedHeaders=host%3Bx-countersign-audience", "SignedHeaders=host"),
        replaced("SignedHeaders=host%3B", "SignedHeaders="),
        replaced("host%3Bx-countersign-audience", "host%3Bx-countersign-audience%3Bx-other"),
        replaced("host%3Bx-countersign-audience", "host%3Bx-countersign-audience%3B"),
        replaced("host%3Bx-countersign-audience", "x-countersign-audience%3Bhost"),
        replaced("host%3Bx-countersign-audience", "host%3BX-Countersign-Audience"),
        replaced("host%3Bx-countersign-audience", "accept%3Bhost%3Bx-countersign-audience"),
        replaced("Expires=900", "Expires=0"),
        replaced("Expires=900", "Expires=%2B900"),
        replaced("Expires=900", "Expires=-1"),
        replaced("&X-Amz-Expires=900", ""),
        replaced("Date=20240115", "Date=20240116"),
        replaced("aws4_request", "aws4"),
        replaced("X-Amz-Signature=", "X-Amz-Signature=F"),
    ] {
        assert_eq!(failure_class(&text, &aws(), noon()), Some(Class::Malformed), "{text}");
    }
}

#[test]
fn wrong_action_service_lifetime_and_region_have_their_class() {
    for (text, class) in [
        (replaced("GetCallerIdentity", "GetSessionToken"), Class::WrongAction),
        (replaced("GetCallerIdentity", "getcalleridentity"), Class::WrongAction),
        (replaced("%2Fsts%2F", "%2Fiam%2F"), Class::WrongService),
        (replaced("Expires=900", "Expires=901"), Class::LifetimeTooLong),
        (replaced("%2Feu-west-1%2F", "%2Feu-west-2%2F"), Class::WrongRegion),
        (replaced("%2Feu-west-1%2F", "%2Fus-east-1%2F"), Class::WrongRegion),
    ] {
        assert_eq!(failure_class(&text, &aws(), noon()), Some(class), "{text}");
    }
}

#[test]
fn only_sts_endpoints_of_the_partition_are_accepted() {
    let good = good();
    for host in [
        "evil.example",
        "sts.eu-west-1.amazonaws.com.evil.example",
        "sts.eu-west-1.amazonaws.com:443",
        "sts.eu-west-1.amazonaws.com:8443",
        "sts.eu-west-1.amazonaws.com.",
        "STS.eu-west-1.amazonaws.com",
        "evil-sts.eu-west-1.amazonaws.com",
        "iam.amazonaws.com",
        "sts.s3-us-west-2.amazonaws.com",
        "sts.us-west-2.elb.amazonaws.com",
        "sts.evil-west-1.amazonaws.com",
        "sts.us-west-x1.amazonaws.com",
        "sts.us--1.amazonaws.com",
        "sts..amazonaws.com",
        "sts.cn-north-1.amazonaws.com",
        "sts.cn-north-1.amazonaws.com.cn",
        "sts.us-gov-west-1.amazonaws.com",
        "sts.eusc-de-east-1.amazonaws.eu",
        "127.0.0.1",
        "[::1]",
        "169.254.169.254",
        "",
    ] {
        let text = good.replace("sts.eu-west-1.amazonaws.com", host);
        assert_eq!(failure_class(&text, &aws(), noon()), Some(Class::WrongHost), "{host}");
    }
    let plain = good.replace("https://", "http://");
    assert_eq!(failure_class(&plain, &aws(), noon()), Some(Class::WrongHost));
    let global = good.replace("sts.eu-west-1.amazonaws.com", "sts.amazonaws.com");
    assert_eq!(failure_class(&global, &aws(), noon()), Some(Class::WrongRegion));
    assert_eq!(
        failure_class(&global.replace("%2Feu-west-1%2F", "%2Fus-east-1%2F"), &aws(), noon()),
        None
    );
}

#[test]
fn every_partition_has_sts_endpoints() {
    for (region, host) in [
        ("us-east-1", "sts.us-east-1.amazonaws.com"),
        ("ap-southeast-5", "sts.ap-southeast-5.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "sts.us-gov-west-1.amazonaws.com"),
        ("eusc-de-east-1", "sts.eusc-de-east-1.amazonaws.eu"),
        ("us-iso-east-1", "sts.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", "sts.us-isob-east-1.sc2s.sgov.gov"),
        ("eu-isoe-west-1", "sts.eu-isoe-west-1.cloud.adc-e.uk"),
        ("us-isof-south-1", "sts.us-isof-south-1.csp.hci.ic.gov"),
    ] {
        let region: Region = region.parse().unwrap();
        let endpoint = StsEndpoint::regional(&region);
        assert_eq!(endpoint.to_string(), format!("https://{host}"));
        let proof = mint(
            &credentials(None),
            &endpoint,
            &region,
            Binding { audience: &orders(), user: None },
            noon(),
        );
        for partition in Partition::all() {
            let expected = (partition != region.partition()).then_some(Class::WrongHost);
            assert_eq!(
                failure_class(proof.expose(), &TrustedSts::aws(partition), noon()),
                expected,
                "{region} {partition}"
            );
        }
    }
}

#[test]
fn configured_sts_replaces_aws_and_http_requires_loopback() {
    for url in [
        "http://127.0.0.1:4566",
        "http://localhost:4566/",
        "http://[::1]:80",
        "https://sts.example:8443",
    ] {
        let endpoint = StsEndpoint::configured(url).unwrap();
        let sts = TrustedSts::configured(Partition::Aws, endpoint.clone());
        let proof = mint(
            &credentials(None),
            &endpoint,
            &here(),
            Binding { audience: &orders(), user: None },
            noon(),
        );
        assert_eq!(failure_class(proof.expose(), &sts, noon()), None, "{url}");
        assert_eq!(failure_class(proof.expose(), &aws(), noon()), Some(Class::WrongHost), "{url}");
        assert_eq!(failure_class(&good(), &sts, noon()), Some(Class::WrongHost), "{url}");
        let foreign = TrustedSts::configured(Partition::China, endpoint);
        assert_eq!(
            failure_class(proof.expose(), &foreign, noon()),
            Some(Class::WrongRegion),
            "{url}"
        );
    }
    for url in [
        "",
        "127.0.0.1:4566",
        "http://192.0.2.1",
        "http://sts.example",
        "http://127.0.0.1@evil.example",
        "http://localhost.evil.example",
        "https://user@sts.example",
        "https://sts.example/path",
        "https://sts.example?x",
        "https://",
        "https://sts.example:",
        "https://sts.example:0",
        "https://sts.example:+1",
        "https://[::1",
        "https://sts example",
        "ftp://sts.example",
    ] {
        assert!(StsEndpoint::configured(url).is_err(), "{url}");
    }
    assert_eq!(
        StsEndpoint::configured("https://STS.Example:443/").unwrap().to_string(),
        "https://sts.example"
    );
}

#[test]
fn lifetime_of_fifteen_minutes_is_enforced_locally() {
    let seconds = Duration::from_secs;
    for (now, class) in [
        (noon() + seconds(900), None),
        (noon() + seconds(901), Some(Class::Expired)),
        (noon() - seconds(300), None),
        (noon() - seconds(301), Some(Class::NotYetValid)),
    ] {
        assert_eq!(failure_class(&good(), &aws(), now), class);
    }
    let short = good().replace("Expires=900", "Expires=60");
    assert_eq!(failure_class(&short, &aws(), noon() + seconds(61)), Some(Class::Expired));
}

#[test]
fn audiences_are_validated() {
    let long = "x".repeat(256);
    for text in ["", "a b", "a\r\nb", "ä", "a,b", "a;b", "a%20b", &long] {
        assert!(text.parse::<Audience>().is_err(), "{text}");
    }
    for text in ["orders", "db.example.com:5432", "prod/orders_1"] {
        assert!(text.parse::<Audience>().is_ok(), "{text}");
    }
}

proptest! {
    #[test]
    fn changing_one_character_invalidates_a_proof(at: prop::sample::Index, with in "[ -~]") {
        let mut text = good();
        let at = at.index(text.len());
        prop_assume!(text.get(at..=at) != Some(&with));
        text.replace_range(at..=at, &with);
        let binding = Binding { audience: &orders(), user: None };
        // A parameter name or escape in another case is the same request.
        let same = text.eq_ignore_ascii_case(&good());
        let built = UnverifiedProof::parse(&text)
            .and_then(|proof| proof.request(&aws(), binding, noon()));
        prop_assert!(same || built.is_err() || confirmed(&text, binding).is_err());
    }

    #[test]
    fn random_text_is_rejected(text in ".*") {
        prop_assert!(UnverifiedProof::parse(&text).is_err());
    }
}
