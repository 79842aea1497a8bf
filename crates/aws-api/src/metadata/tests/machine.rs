//! EC2's metadata.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{credentials, get, trust, whoami};
use crate::http::serve_metadata;
use crate::metadata::imds::Machine;
use crate::testing::{Served, account};
use countersign_authority::model::{InstanceProfile, seconds};

const CREDENTIALS: &str = "/latest/meta-data/iam/security-credentials/";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// API, and the metadata service of a machine with the role `app`.
struct Ec2 {
    served: Served,
    metadata: Served,
}

impl Ec2 {
    async fn new(version_one: bool, trusted: &str) -> Self {
        let served = Served::new().await;
        let delivery = json!({"StringEquals": {"aws:RequestedRegion": "eu-west-1"}});
        served.role("app", &trust(trusted, &["sts:AssumeRole"], &delivery), None);
        let profile = InstanceProfile {
            account: account(),
            path: "/".to_owned(),
            name: "Web".to_owned(),
            unique_id: "AIPAEXAMPLE".to_owned(),
            created: 0,
            role: Some("app".to_owned()),
            tags: Default::default(),
        };
        served.api.store().change(|draft| draft.put(profile.clone())).unwrap();
        let machine = Machine {
            account: account(),
            profile: "Web".to_owned(),
            region: "eu-west-1".parse().unwrap(),
            version_one,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let api = Arc::clone(&served.api);
        tokio::spawn(serve_metadata(listener, Arc::clone(&api), machine));
        let metadata = Served { _directory: tempfile::TempDir::new().unwrap(), api, address };
        Self { served, metadata }
    }

    async fn put(&self, headers: &str) -> (u16, String) {
        let request = format!(
            "PUT /latest/api/token HTTP/1.1\r\nhost: 127.0.0.1:80\r\nconnection: \
             close\r\n{headers}\r\n"
        );
        self.metadata.raw(&request).await
    }

    async fn token(&self, ttl: u64) -> String {
        let (status, answer) = self.put(&format!("{TTL}: {ttl}\r\n")).await;
        assert!(
            status == 200 && answer.to_ascii_lowercase().contains(&format!("{TTL}: {ttl}\r\n")),
            "{answer}"
        );
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    async fn get(&self, path: &str, token: &str) -> (u16, String) {
        let (status, _, body) = get(&self.metadata, path, &[(TOKEN, token)]).await;
        (status, body)
    }
}

#[tokio::test]
async fn a_machine_gets_the_role_of_its_instance_profile() {
    let ec2 = Ec2::new(false, "ec2.amazonaws.com").await;
    let token = ec2.token(21_600).await;
    let (_, id) = ec2.get("/latest/meta-data/instance-id", &token).await;
    assert!(id.starts_with("i-") && id.len() == 19, "{id}");
    for path in [CREDENTIALS, CREDENTIALS.trim_end_matches('/')] {
        assert_eq!(ec2.get(path, &token).await, (200, "app".to_owned()));
    }
    let (status, body) = ec2.get(&format!("{CREDENTIALS}app"), &token).await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &value["Code"], &value["Type"]),
        (200, &json!("Success"), &json!("AWS-HMAC")),
        "{body}"
    );
    let arn = whoami(&ec2.served, &credentials(&body)).await;
    assert_eq!(arn, format!("arn:aws:sts::123456789012:assumed-role/app/{id}"));

    assert_eq!(ec2.get("/latest/meta-data/placement/region", &token).await.1, "eu-west-1");
    assert_eq!(
        ec2.get("/latest/meta-data/placement/availability-zone", &token).await.1,
        "eu-west-1a"
    );
    let document: Value = serde_json::from_str(
        &ec2.get("/latest/dynamic/instance-identity/document", &token).await.1,
    )
    .unwrap();
    assert_eq!((&document["region"], &document["instanceId"]), (&json!("eu-west-1"), &json!(id)));
    let info: Value =
        serde_json::from_str(&ec2.get("/latest/meta-data/iam/info", &token).await.1).unwrap();
    assert_eq!(info["InstanceProfileArn"], "arn:aws:iam::123456789012:instance-profile/Web");
    for gone in [
        &format!("{CREDENTIALS}other"),
        "/latest/meta-data/iam/security-credentials-extended/",
        "/latest/user-data",
        "/keys",
        "/",
    ] {
        assert_eq!(ec2.get(gone, &token).await.0, 404, "{gone}");
    }
}

#[tokio::test]
async fn requests_without_a_valid_token_are_rejected() {
    let ec2 = Ec2::new(false, "ec2.amazonaws.com").await;
    let path = format!("{CREDENTIALS}app");
    assert_eq!(get(&ec2.metadata, &path, &[]).await.0, 401);
    let good = ec2.token(60).await;
    assert_eq!(ec2.get(&path, &good).await.0, 200);
    let sealing = ec2.served.api.store().sealing();
    let (past, future) =
        (SystemTime::now() - Duration::from_secs(1), SystemTime::now() + Duration::from_secs(60));
    let sealed = |end: SystemTime, purpose: &[u8]| {
        sealing.seal(seconds(end).to_string().as_bytes(), purpose).unwrap().to_string()
    };
    let (_, id) = ec2.get("/latest/meta-data/instance-id", &good).await;
    let own = format!("imds/{id}");
    assert_eq!(ec2.get(&path, &sealed(future, own.as_bytes())).await.0, 200);
    let mut flipped = good.clone().into_bytes();
    flipped[30] = if flipped[30] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    for bad in [
        sealed(past, own.as_bytes()),
        sealed(future, b"imds/i-00000000000000000"),
        sealed(future, b"ASIAEXAMPLE"),
        flipped,
        String::new(),
        "x".to_owned(),
        "x".repeat(20_000),
    ] {
        assert_eq!(ec2.get(&path, &bad).await.0, 401, "{bad}");
    }
    let twice = [(TOKEN, good.as_str()), (TOKEN, good.as_str())];
    assert_eq!(get(&ec2.metadata, &path, &twice).await.0, 401);
    let post = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{TOKEN}: {good}\r\n\r\n"
    );
    assert_eq!(ec2.metadata.raw(&post).await.0, 405);
}

#[tokio::test]
async fn token_requests_from_proxies_and_web_pages_are_rejected() {
    let ec2 = Ec2::new(false, "ec2.amazonaws.com").await;
    for (headers, status) in [
        (format!("{TTL}: 1\r\n"), 200),
        (format!("{TTL}: 0\r\n"), 400),
        (format!("{TTL}: 21601\r\n"), 400),
        (format!("{TTL}: -1\r\n"), 400),
        (format!("{TTL}: 99999999999999999999\r\n"), 400),
        (format!("{TTL}: 60\r\n{TTL}: 60\r\n"), 400),
        (String::new(), 400),
        (format!("{TTL}: 60\r\nX-Forwarded-For: 192.0.2.1\r\n"), 403),
    ] {
        assert_eq!(ec2.put(&headers).await.0, status, "{headers}");
    }
    let get_token = get(&ec2.metadata, "/latest/api/token", &[(TTL, "60")]).await;
    assert_eq!(get_token.0, 405);
    // A page whose name resolves to this address.
    let rebound = format!(
        "PUT /latest/api/token HTTP/1.1\r\nhost: evil.example:80\r\nconnection: close\r\n{TTL}: \
         60\r\n\r\n"
    );
    assert_eq!(ec2.metadata.raw(&rebound).await.0, 403);
}

#[tokio::test]
async fn imdsv1_requests_are_answered_if_enabled() {
    let ec2 = Ec2::new(true, "ec2.amazonaws.com").await;
    let (status, _, body) = get(&ec2.metadata, &format!("{CREDENTIALS}app"), &[]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(
        ec2.get(&format!("{CREDENTIALS}app"), "x").await.0,
        401,
        "one that is there has to be good"
    );
}

#[tokio::test]
async fn a_role_that_does_not_trust_ec2_is_said_to_be_so() {
    let ec2 = Ec2::new(false, "ecs-tasks.amazonaws.com").await;
    let token = ec2.token(60).await;
    let (status, body) = ec2.get(&format!("{CREDENTIALS}app"), &token).await;
    let value: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &value["Code"]), (200, &json!("AssumeRoleUnauthorizedAccess")));
    assert!(value.get("AccessKeyId").is_none(), "{body}");
}

#[tokio::test]
async fn the_api_and_the_metadata_service_have_separate_routes() {
    let ec2 = Ec2::new(true, "ec2.amazonaws.com").await;
    let request = format!(
        "PUT /latest/api/token HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{TTL}: \
         60\r\n\r\n"
    );
    assert_eq!(
        ec2.served.raw(&request).await.0,
        403,
        "it is an unsigned request of the query protocol"
    );
    assert_eq!(
        get(&ec2.metadata, "/?Action=GetCallerIdentity&Version=2011-06-15", &[]).await.0,
        404
    );
}
