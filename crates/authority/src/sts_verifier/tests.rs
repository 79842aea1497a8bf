//! Tests with an HTTP server in the place of STS.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::Class;
use countersign_core::name::DbUser;
use countersign_core::proof::{Audience, Binding, StsEndpoint, TrustedSts, mint};
use countersign_core::region::Partition;
use countersign_core::sigv4::{KeyCache, Payload, Request as Signed, SignedRequest};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{ProvenIdentity, StsVerifier};
use crate::oidc::fetch::Fetcher;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const JANE: [&str; 3] =
    ["arn:aws:iam::123456789012:user/team/jane", "123456789012", "AIDAJQABLZS4A3QDU576Q"];

/// Server in the place of STS. It responds like AWS, or with `next_response`.
struct Sts {
    url: String,
    next_response: Mutex<Option<Response<String>>>,
    requests: Mutex<Vec<Request<()>>>,
}

fn response_body(arn: &str, account: &str, user_id: &str) -> Value {
    json!({ "GetCallerIdentityResponse": {
        "GetCallerIdentityResult": { "Account": account, "Arn": arn, "UserId": user_id },
        "ResponseMetadata": { "RequestId": "6a8b1c1e-0000-0000-0000-000000000000" }
    } })
}

/// Responds like AWS, which verifies the signature of the request and ignores `X-Amz-Expires`.
fn like_aws(request: &Request<Incoming>) -> Response<String> {
    let headers: Vec<(&str, &str)> = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    let query = request.uri().query().unwrap_or_default();
    let signed = Signed {
        method: request.method().as_str(),
        path: request.uri().path(),
        query,
        headers: &headers,
        payload: Payload::Body(b""),
    };
    let secret = Secret::new(SECRET).unwrap();
    let checked = SignedRequest::parse(&signed).and_then(|parsed| {
        let dated = headers.iter().all(|(name, _)| *name != "x-amz-date");
        assert!(dated, "the date is in the query");
        parsed.verify(&signed, &secret, "sts", &KeyCache::default(), SystemTime::now())
    });
    let [arn, account, id] = JANE;
    match checked {
        Ok(()) if query.contains("Action=GetCallerIdentity") => {
            Response::new(response_body(arn, account, id).to_string())
        }
        _ => Response::builder()
            .status(403)
            .body(json!({ "Error": { "Code": "SignatureDoesNotMatch" } }).to_string())
            .unwrap(),
    }
}

async fn serve() -> Arc<Sts> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sts = Arc::new(Sts { url, next_response: Mutex::default(), requests: Mutex::default() });
    let serving = Arc::clone(&sts);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let sts = Arc::clone(&serving);
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| {
                    let next = sts.next_response.lock().unwrap().take();
                    let response = next.unwrap_or_else(|| like_aws(&request));
                    sts.requests.lock().unwrap().push(request.map(drop));
                    async move { Ok::<_, Infallible>(response) }
                });
                let _closed =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    sts
}

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret: Secret::new(SECRET).unwrap(),
        session_token: session_token.and_then(Secret::new),
        expires: None,
    }
}

impl Sts {
    fn endpoint(&self) -> StsEndpoint {
        StsEndpoint::configured(&self.url).unwrap()
    }

    fn verifier(&self) -> StsVerifier {
        StsVerifier::new(
            Fetcher::new(&[]).unwrap(),
            TrustedSts::configured(Partition::Aws, self.endpoint()),
        )
    }

    fn proof(&self, audience: &str, user: Option<&DbUser>, at: SystemTime) -> String {
        let audience: Audience = audience.parse().unwrap();
        let region = "eu-west-1".parse().unwrap();
        mint(
            &credentials(None),
            &self.endpoint(),
            &region,
            Binding { audience: &audience, user },
            at,
        )
        .expose()
        .to_owned()
    }

    /// Verifies for the database `orders` and the user `jane`.
    async fn verify(&self, text: &str) -> Result<ProvenIdentity, Class> {
        let (audience, user) = ("orders".parse().unwrap(), "jane".parse().unwrap());
        let binding = Binding { audience: &audience, user: Some(&user) };
        self.verifier()
            .verify(text, binding, SystemTime::now())
            .await
            .map_err(|failure| failure.class)
    }

    /// Verifies a proof to which STS responds with `response`.
    async fn verify_with(&self, response: Response<String>) -> Result<ProvenIdentity, Class> {
        *self.next_response.lock().unwrap() = Some(response);
        self.verify(&self.proof("orders", None, SystemTime::now())).await
    }

    fn request_count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

#[tokio::test]
async fn sts_reports_the_identity_that_signed() {
    let sts = serve().await;
    let (jane, now) = ("jane".parse().unwrap(), SystemTime::now());
    let [arn, account, user_id] = JANE;
    let expected = ProvenIdentity {
        arn: arn.parse().unwrap(),
        account: account.parse().unwrap(),
        user_id: user_id.to_owned(),
    };
    for user in [None, Some(&jane)] {
        assert_eq!(sts.verify(&sts.proof("orders", user, now)).await, Ok(expected.clone()));
    }
    let requests = sts.requests.lock().unwrap();
    let request = requests.first().unwrap();
    assert_eq!((request.method().as_str(), request.uri().path()), ("GET", "/"));
    assert_eq!(request.headers()["accept"], "application/json");
    assert_eq!(request.headers()["x-countersign-audience"], "orders");
    assert!(request.headers().get("x-countersign-user").is_none());
    assert_eq!(requests[1].headers()["x-countersign-user"], "jane");
}

#[tokio::test]
async fn temporary_credentials_can_sign() {
    let sts = serve().await;
    let (audience, region) = ("orders".parse().unwrap(), "eu-west-1".parse().unwrap());
    let token = format!("FwoGZXIvYXdzE{}+/=", "x".repeat(2000));
    let binding = Binding { audience: &audience, user: None };
    let proof =
        mint(&credentials(Some(&token)), &sts.endpoint(), &region, binding, SystemTime::now());
    assert!(sts.verify(proof.expose()).await.is_ok());
    let other = proof.expose().replace("FwoGZXIvYXdzE", "FwoGZXIvYXdzF");
    assert_eq!(sts.verify(&other).await, Err(Class::SignatureMismatch));
}

#[tokio::test]
async fn sts_rejects_a_proof_for_another_database_user_or_key() {
    let sts = serve().await;
    let (john, now) = ("john".parse().unwrap(), SystemTime::now());
    let good = sts.proof("orders", None, now);
    for text in [
        sts.proof("payments", None, now),
        sts.proof("Orders", None, now),
        sts.proof("orders", Some(&john), now),
        good.replace("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPL2")
            .replace("&X-Amz-Signature=", "&X-Amz-Security-Token=x&X-Amz-Signature="),
        good.replace("AKIAIOSFODNN7EXAMPLE", "AKIDEXAMPLE"),
        good.replace("X-Amz-Expires=900", "X-Amz-Expires=800"),
    ] {
        assert_eq!(sts.verify(&text).await, Err(Class::SignatureMismatch), "{text}");
    }
    assert_eq!(sts.request_count(), 6);
}

/// These proofs must not reach STS, which would accept some of them.
#[tokio::test]
async fn invalid_proofs_are_rejected_without_a_request() {
    let (sts, evil) = (serve().await, serve().await);
    let now = SystemTime::now();
    let good = sts.proof("orders", None, now);
    let [arn, account, id] = JANE;
    let valid = Response::new(response_body(arn, account, id).to_string());
    *evil.next_response.lock().unwrap() = Some(valid);
    let old = now - Duration::from_secs(905);
    for (text, class) in [
        (evil.proof("orders", None, now), Class::WrongHost),
        (good.replace("GetCallerIdentity", "GetSessionToken"), Class::WrongAction),
        (format!("{good}&Action=GetSessionToken"), Class::Malformed),
        (format!("{good}&action=GetSessionToken"), Class::Malformed),
        (format!("{good}&Foo=bar"), Class::Malformed),
        (good.replace("%3Bx-countersign-audience", ""), Class::Malformed),
        (good.replace("/?", "/path?"), Class::Malformed),
        (good.replace("http://", "http://user@"), Class::Malformed),
        (good.replace("http://", "https://"), Class::WrongHost),
        (good.replace("eu-west-1", "cn-north-1"), Class::WrongRegion),
        (good.replace("X-Amz-Expires=900", "X-Amz-Expires=901"), Class::LifetimeTooLong),
        (sts.proof("orders", None, old), Class::Expired),
        (sts.proof("orders", None, now + Duration::from_secs(600)), Class::NotYetValid),
    ] {
        assert_eq!(sts.verify(&text).await, Err(class), "{text}");
    }
    assert_eq!((sts.request_count(), evil.request_count()), (0, 0));
}

#[tokio::test]
async fn responses_of_another_form_are_rejected() {
    let sts = serve().await;
    let [arn, account, id] = JANE;
    let twice = response_body(arn, account, id)
        .to_string()
        .replace("{\"Account\"", "{\"Account\":\"999999999999\",\"Account\"");
    let another = json!({
        "GetCallerIdentityResult": { "Account": account, "Arn": arn, "UserId": id }
    });
    let too_large = format!("{}{}", response_body(arn, account, id), " ".repeat(70_000));
    for (response, problem) in [
        (String::new(), "nothing"),
        ("<GetCallerIdentityResponse/>".to_owned(), "XML"),
        (twice, "a key twice"),
        (json!([]).to_string(), "no object"),
        (another.to_string(), "another response"),
        (too_large, "too much"),
    ] {
        let result = sts.verify_with(Response::new(response)).await;
        assert_eq!(result, Err(Class::Protocol), "{problem}");
    }
}

#[tokio::test]
async fn inconsistent_responses_are_rejected() {
    let sts = serve().await;
    let [arn, account, id] = JANE;
    let role_id = "AROAJQABLZS4A3QDU576Q";
    let session = "arn:aws:sts::123456789012:assumed-role/app/monday";
    let federated = "arn:aws:sts::123456789012:federated-user/jo";
    for (arn, account, id, problem) in [
        ("", account, id, "no ARN"),
        (arn, "", id, "no account"),
        (arn, account, "", "no id"),
        (arn, "999999999999", id, "another account than the ARN's"),
        (&arn.replace("aws", "aws-cn"), account, id, "another partition"),
        (&arn.replace("iam::", "iam:eu-west-1:"), account, id, "a region"),
        (&arn.replace(":user/", ":role/"), account, id, "a role, which is not an identity"),
        (&arn.replace(":iam:", ":sts:"), account, id, "a user of STS"),
        ("arn:aws:iam::123456789012:oidc-provider/x", account, id, "a provider"),
        (arn, account, role_id, "a role's id for a user"),
        (arn, account, "AIDA", "half an id"),
        (arn, account, "AIDAx\u{0}", "an id with a NUL byte"),
        (session, account, id, "a user's id for a session"),
        (session, account, role_id, "no session"),
        (session, account, &format!("{role_id}:tuesday"), "another session"),
        (&format!("{session}/x"), account, &format!("{role_id}:monday/x"), "a session with a path"),
        ("arn:aws:iam::123456789012:root", account, id, "a user's id for the root"),
        (federated, account, "999999999999:jo", "another account's federated user"),
    ] {
        let response = Response::new(response_body(arn, account, id).to_string());
        assert_eq!(sts.verify_with(response).await, Err(Class::Protocol), "{problem}");
    }
    for (arn, id) in [
        (session, "AROAJQABLZS4A3QDU576Q:monday"),
        (federated, "123456789012:jo"),
        ("arn:aws:iam::123456789012:root", "123456789012"),
    ] {
        let response = Response::new(response_body(arn, account, id).to_string());
        let proven = sts.verify_with(response).await.unwrap();
        assert_eq!((proven.arn.as_str(), proven.user_id.as_str()), (arn, id));
    }
}

#[tokio::test]
async fn other_statuses_are_errors_and_redirects_are_not_followed() {
    let (sts, evil) = (serve().await, serve().await);
    let [arn, account, id] = JANE;
    let status = |status: u16| {
        let response =
            Response::builder().status(status).header("location", format!("{}/", evil.url));
        response.body(response_body(arn, account, id).to_string()).unwrap()
    };
    for (code, class) in [
        (201, Class::Protocol),
        (301, Class::Protocol),
        (302, Class::Protocol),
        (307, Class::Protocol),
        (400, Class::SignatureMismatch),
        (403, Class::SignatureMismatch),
        (404, Class::Protocol),
        (429, Class::Throttled),
        (500, Class::Unavailable),
        (503, Class::Unavailable),
    ] {
        assert_eq!(sts.verify_with(status(code)).await, Err(class), "{code}");
    }
    assert_eq!(evil.request_count(), 0);
}

#[tokio::test]
async fn an_unreachable_or_silent_sts_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = Sts {
        url: format!("http://{}", listener.local_addr().unwrap()),
        next_response: Mutex::default(),
        requests: Mutex::default(),
    };
    let proof = silent.proof("orders", None, SystemTime::now());
    assert_eq!(silent.verify(&proof).await, Err(Class::TimedOut));
    drop(listener);
    assert_eq!(silent.verify(&proof).await, Err(Class::Unavailable));
}
