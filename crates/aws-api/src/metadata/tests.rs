//! Tests of the metadata services over a connection.

mod machine;
mod person;

use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use serde_json::{Value, json};

use crate::testing::{Served, text};
use countersign_authority::issuer::{
    DEFAULT_URL, POD_IDENTITY_AUDIENCE, STS_AUDIENCE, TokenProjection, signing_key,
};
use countersign_authority::oidc::issuer_key::{ClusterObject, ServiceAccountClaims};

const ROLE: &str = "arn:aws:iam::123456789012:role/app";

/// Trust policy for `service`.
fn trust(service: &str, actions: &[&str], condition: &Value) -> String {
    let statement = json!({
        "Effect": "Allow", "Principal": {"Service": service}, "Action": actions,
        "Condition": condition,
    });
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// Status, head and body of a GET with these headers.
async fn get(served: &Served, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    let lines: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (status, whole) = served
        .raw(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n{lines}\r\n"))
        .await;
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// Returns the credentials in the response for a container or machine.
fn credentials(body: &str) -> Credentials {
    let value: Value = serde_json::from_str(body).unwrap();
    let member = |name: &str| {
        value[name].as_str().unwrap_or_else(|| panic!("no {name} in {body}")).to_owned()
    };
    assert!(member("Expiration").ends_with('Z'), "{body}");
    Credentials {
        access_key_id: member("AccessKeyId").parse().unwrap(),
        secret: Secret::new(member("SecretAccessKey")).unwrap(),
        session_token: Secret::new(member("Token")),
        expires: None,
    }
}

async fn whoami(served: &Served, key: &Credentials) -> String {
    let (status, answer) = served.call("sts", key, "Action=GetCallerIdentity").await;
    assert_eq!(status, 200, "{answer}");
    text(&answer, "Arn").to_owned()
}

#[tokio::test]
async fn issuer_documents_contain_the_signing_key() {
    let served = Served::new().await;
    let (status, head, body) = get(&served, "/.well-known/openid-configuration", &[]).await;
    let document: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status, &document["issuer"], &document["jwks_uri"]),
        (200, &json!(DEFAULT_URL), &json!(format!("{DEFAULT_URL}/keys")))
    );
    assert!(head.contains("content-type: application/json"), "{head}");
    let keys: Value = serde_json::from_str(&get(&served, "/keys", &[]).await.2).unwrap();
    assert_eq!(
        keys["keys"][0]["kid"],
        signing_key(served.api.store(), SystemTime::now()).unwrap().id()
    );
    assert!(keys["keys"][0].get("d").is_none(), "the private half is not published");
    assert_eq!(
        served.raw("POST /keys HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.0,
        405
    );
}

/// API whose service account default/app is associated with the role.
async fn cluster(actions: &[&str], condition: &Value) -> Served {
    let served = Served::new().await;
    served.role("app", &trust("pods.eks.amazonaws.com", actions, condition), None);
    served.api.store().ensure_service_account("default", "app", Some(ROLE)).unwrap();
    served.api.store().ensure_service_account("default", "other", None).unwrap();
    served
}

const POD_ACTIONS: [&str; 2] = ["sts:AssumeRole", "sts:TagSession"];

fn projected(served: &Served, name: &str, audience: &str) -> String {
    let lifetime = Duration::from_secs(600);
    let projection = TokenProjection {
        issuer: DEFAULT_URL,
        namespace: "default",
        name,
        pod: "app-0",
        audience,
        lifetime,
    };
    projection.issue(served.api.store(), SystemTime::now()).unwrap().to_string()
}

#[tokio::test]
async fn a_pod_gets_credentials_of_its_service_accounts_role() {
    let condition = json!({"StringEquals": {
        "aws:RequestTag/kubernetes-namespace": "default",
        "aws:RequestTag/kubernetes-service-account": "app",
        "aws:RequestTag/eks-cluster-name": "countersign",
        "aws:SourceAccount": "123456789012",
    }});
    let served = cluster(&POD_ACTIONS, &condition).await;
    let token = projected(&served, "app", POD_IDENTITY_AUDIENCE);
    let (status, _, body) = get(&served, "/v1/credentials", &[("authorization", &token)]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["AccountId"], "123456789012");
    let arn = whoami(&served, &credentials(&body)).await;
    let session = arn
        .strip_prefix("arn:aws:sts::123456789012:assumed-role/app/eks-countersign-app-0-")
        .expect(&arn);
    assert_eq!(session.len(), 36, "{arn}");
}

#[tokio::test]
async fn session_tags_of_a_pod_are_condition_keys_and_transitive() {
    let served = cluster(&POD_ACTIONS, &json!({})).await;
    let tag = json!({"StringEquals": {
        "aws:PrincipalTag/kubernetes-pod-name": "app-0",
        "aws:PrincipalTag/kubernetes-namespace": "default",
    }});
    let policy = json!({"Version": "2012-10-17", "Statement":
        {"Effect": "Allow", "Action": "sts:GetAccessKeyInfo", "Resource": "*", "Condition": tag}});
    let identity = countersign_authority::model::Identity::new(
        crate::testing::account(),
        countersign_authority::model::IdentityKind::Role,
        "app",
    )
    .unwrap();
    served.api.store().put_policy(&identity, "tagged", &policy.to_string()).unwrap();
    let jane = served.user("jane", None);
    let token = projected(&served, "app", POD_IDENTITY_AUDIENCE);
    let session =
        credentials(&get(&served, "/v1/credentials", &[("authorization", &token)]).await.2);
    let info = format!("Action=GetAccessKeyInfo&AccessKeyId={}", jane.access_key_id);
    let (status, answer) = served.call("sts", &session, &info).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test]
async fn tokens_not_bound_to_a_pod_are_rejected() {
    let served = cluster(&POD_ACTIONS, &json!({})).await;
    let key = signing_key(served.api.store(), SystemTime::now()).unwrap();
    let made = |edit: &dyn Fn(&mut ServiceAccountClaims<'_>)| {
        let mut account = ServiceAccountClaims {
            issuer: DEFAULT_URL,
            audiences: &[POD_IDENTITY_AUDIENCE],
            namespace: "default",
            account: ClusterObject { name: "app", uid: "u" },
            pod: Some(ClusterObject { name: "app-0", uid: "p" }),
            now: SystemTime::now(),
            lifetime: Duration::from_secs(600),
            token_id: "t",
        };
        edit(&mut account);
        key.sign(&account.claims()).unwrap().to_string()
    };
    assert_eq!(get(&served, "/v1/credentials", &[("authorization", &made(&|_| ()))]).await.0, 200);
    let good = made(&|_| ());
    let other_key = countersign_authority::oidc::issuer_key::IssuerKey::generate().unwrap();
    let other_store = Served::new().await;
    other_store.api.store().ensure_service_account("default", "app", None).unwrap();
    let forged = projected(&other_store, "app", POD_IDENTITY_AUDIENCE);
    let payload = good.split('.').nth(1).unwrap();
    let hour = Duration::from_secs(3600);
    for (token, status, code) in [
        (projected(&served, "app", STS_AUDIENCE), 400, "InvalidTokenException"),
        (made(&|account| account.now -= hour), 400, "ExpiredTokenException"),
        (made(&|account| account.now += hour), 400, "InvalidTokenException"),
        (made(&|account| account.issuer = "https://evil.example"), 400, "InvalidTokenException"),
        (made(&|account| account.pod = None), 400, "InvalidTokenException"),
        (made(&|account| account.account.name = "other"), 404, "ResourceNotFoundException"),
        (made(&|account| account.account.name = "gone"), 404, "ResourceNotFoundException"),
        (made(&|account| account.namespace = "kube-system"), 404, "ResourceNotFoundException"),
        (forged, 400, "InvalidTokenException"),
        (
            other_key.sign(&serde_json::Map::new()).unwrap().to_string(),
            400,
            "InvalidTokenException",
        ),
        (format!("eyJhbGciOiJub25lIn0.{payload}."), 400, "InvalidTokenException"),
        ("x".to_owned(), 400, "InvalidTokenException"),
        (format!("Bearer {good}"), 400, "InvalidTokenException"),
        (String::new(), 400, "Service account token cannot be empty"),
        ("x".repeat(20_001), 400, "Service account token cannot be empty"),
    ] {
        let (actual, _, body) = get(&served, "/v1/credentials", &[("authorization", &token)]).await;
        assert!(
            actual == status && body.contains(code),
            "expected {status} {code}: {actual} {body}"
        );
        assert!(
            !body.contains("AccessKeyId") && (token.len() < 2 || !body.contains(&token)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn repeated_missing_and_oversized_tokens_are_rejected() {
    let served = cluster(&POD_ACTIONS, &json!({})).await;
    let good = projected(&served, "app", POD_IDENTITY_AUDIENCE);
    let twice = [("authorization", good.as_str()), ("authorization", good.as_str())];
    assert_eq!(get(&served, "/v1/credentials", &twice).await.0, 400);
    assert_eq!(get(&served, "/v1/credentials", &[]).await.0, 400);
    let post = format!(
        "POST /v1/credentials HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: \
         {good}\r\n\r\n"
    );
    assert_eq!(served.raw(&post).await.0, 405);
    let flood = "x".repeat(40_000);
    let (status, _, body) = get(&served, "/v1/credentials", &[("authorization", &flood)]).await;
    assert!(matches!(status, 400 | 431) && !body.contains("AccessKeyId"), "{status} {body}");
}

#[tokio::test]
async fn a_role_must_trust_the_agent_and_allow_tagging() {
    for (actions, condition) in [
        (&["sts:AssumeRole"][..], json!({})),
        (&["sts:TagSession"], json!({})),
        (&["sts:AssumeRoleWithWebIdentity"], json!({})),
        (&POD_ACTIONS, json!({"StringEquals": {"aws:RequestTag/kubernetes-namespace": "other"}})),
        (&POD_ACTIONS, json!({"StringEquals": {"aws:SourceAccount": "999999999999"}})),
    ] {
        let served = cluster(actions, &condition).await;
        let token = projected(&served, "app", POD_IDENTITY_AUDIENCE);
        let (status, _, body) = get(&served, "/v1/credentials", &[("authorization", &token)]).await;
        assert!(
            status == 400 && body.contains("(AccessDeniedException): Unauthorized Exception!"),
            "{status} {body}"
        );
    }
    let served = cluster(&POD_ACTIONS, &json!({})).await;
    served.role("ecs", &trust("ecs-tasks.amazonaws.com", &POD_ACTIONS, &json!({})), None);
    served
        .api
        .store()
        .ensure_service_account("default", "app", Some(&ROLE.replace("app", "ecs")))
        .unwrap();
    let token = projected(&served, "app", POD_IDENTITY_AUDIENCE);
    assert_eq!(
        get(&served, "/v1/credentials", &[("authorization", &token)]).await.0,
        400,
        "it trusts another service"
    );
    served
        .api
        .store()
        .ensure_service_account("default", "app", Some(&ROLE.replace("app", "gone")))
        .unwrap();
    assert_eq!(
        get(&served, "/v1/credentials", &[("authorization", &token)]).await.0,
        400,
        "it is not there"
    );
}

#[tokio::test]
async fn a_container_gets_credentials_only_with_its_own_token() {
    let served = Served::new().await;
    let ecs = |condition: Value| trust("ecs-tasks.amazonaws.com", &["sts:AssumeRole"], &condition);
    served.role(
        "app",
        &ecs(json!({"ArnLike": {"aws:SourceArn": "arn:aws:ecs:us-east-1:123456789012:*"}})),
        None,
    );
    served.role("next", &ecs(json!({})), None);
    served.role("deaf", &trust("pods.eks.amazonaws.com", &["sts:AssumeRole"], &json!({})), None);
    let grant =
        |role: &str| served.api.store().ensure_container(&ROLE.replace("app", role)).unwrap();
    let (app, next, deaf) = (grant("app"), grant("next"), grant("deaf"));
    assert_eq!(grant("app").id, app.id, "a role has one container");
    let path = |id: &str| format!("/v2/credentials/{id}");
    let (status, _, body) = get(&served, &path(&app.id), &[("authorization", &app.token)]).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["RoleArn"], ROLE);
    assert_eq!(
        whoami(&served, &credentials(&body)).await,
        format!("arn:aws:sts::123456789012:assumed-role/app/{}", app.id)
    );

    let (cut, long) = (app.token.get(1..).unwrap(), format!("{}x", *app.token));
    for (id, token, status, code) in [
        (app.id.as_str(), next.token.as_str(), 400, "InvalidIdInRequest"),
        (&app.id, cut, 400, "InvalidIdInRequest"),
        (&app.id, &long, 400, "InvalidIdInRequest"),
        (&app.id, "", 400, "InvalidIdInRequest"),
        ("unknown", "", 400, "InvalidIdInRequest"),
        ("unknown", &app.token, 400, "InvalidIdInRequest"),
        ("", &app.token, 400, "NoIdInRequest"),
        (&deaf.id, &deaf.token, 403, "AccessDenied"),
    ] {
        let (actual, _, body) = get(&served, &path(id), &[("authorization", token)]).await;
        let value: Value = serde_json::from_str(&body).unwrap();
        assert!(
            actual == status && value["code"] == code && value["message"].is_string(),
            "expected {status} {code}: {actual} {body}"
        );
    }
    assert_eq!(get(&served, &path(&app.id), &[]).await.0, 400);
}
