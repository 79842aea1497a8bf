//! Tests of temporary credentials over a connection.

use std::time::{Duration, SystemTime};

use countersign_core::credentials::Credentials;
use serde_json::json;

use crate::testing::{
    ADMINISTRATOR, Served, account, allow, assert_error, credentials, encoded, text,
};
use countersign_authority::issuer::{DEFAULT_URL, signing_key};
use countersign_authority::model::OidcProvider;
use countersign_authority::oidc::issuer_key::{ClusterObject, IssuerKey, ServiceAccountClaims};

fn trust(
    principal: serde_json::Value,
    action: serde_json::Value,
    condition: serde_json::Value,
) -> String {
    let statement = json!({
        "Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition,
    });
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

const ROLE: &str = "arn:aws:iam::123456789012:role/app";

async fn whoami(served: &Served, key: &Credentials) -> String {
    let (status, answer) = served.call("sts", key, "Action=GetCallerIdentity").await;
    assert_eq!(status, 200, "{answer}");
    text(&answer, "Arn").to_owned()
}

#[tokio::test]
async fn assume_role_requires_trust_and_permission() {
    let served = Served::new().await;
    let jane = served.user("jane", Some(&allow("sts:AssumeRole", ROLE)));
    let john = served.user("john", None);
    served.role(
        "app",
        &trust(json!({"AWS": "123456789012"}), json!("sts:AssumeRole"), json!({})),
        None,
    );
    let assume = format!("Action=AssumeRole&RoleArn={ROLE}&RoleSessionName=monday");
    let (status, answer) = served.call("sts", &jane, &assume).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&answer, "Arn"), "arn:aws:sts::123456789012:assumed-role/app/monday");
    assert!(text(&answer, "AssumedRoleId").ends_with(":monday"));
    assert_eq!(
        whoami(&served, &credentials(&answer)).await,
        "arn:aws:sts::123456789012:assumed-role/app/monday"
    );

    let denied = served.call("sts", &john, &assume).await;
    assert_error(&denied, 403, "AccessDenied");
    assert!(denied.1.contains(
        "User: arn:aws:iam::123456789012:user/john is not authorized to \
        perform: sts:AssumeRole on resource: "
    ));
    let admin = served.user("admin", Some(ADMINISTRATOR));
    assert_error(
        &served.call("sts", &admin, &assume.replace("role/app", "role/gone")).await,
        403,
        "AccessDenied",
    );
    for (wrong, more) in [
        ("RoleSessionName", "x"),
        ("RoleSessionName", "a b"),
        ("DurationSeconds", "899"),
        ("DurationSeconds", "3601"),
    ] {
        let form =
            format!("{}&{wrong}={}", assume.replace(&format!("{wrong}=monday"), ""), encoded(more))
                .replace("&&", "&");
        assert_error(&served.call("sts", &jane, &form).await, 400, "ValidationError");
    }
    assert_error(
        &served.call("sts", &jane, &format!("{assume}&Policy=%7B%7D")).await,
        400,
        "MalformedPolicyDocument",
    );
    assert_error(
        &served.call("sts", &jane, &format!("{assume}&Fish=1")).await,
        400,
        "ValidationError",
    );
    assert_error(
        &served.call("sts", &jane, &format!("{assume}&RoleArn={ROLE}")).await,
        404,
        "MalformedQueryString",
    );
}

#[tokio::test]
async fn external_ids_tags_and_source_identities_are_condition_keys_of_the_trust_policy() {
    let served = Served::new().await;
    let admin = served.user("admin", Some(ADMINISTRATOR));
    let condition =
        json!({"StringEquals": {"sts:ExternalId": "agreed", "aws:RequestTag/team": "blue"}});
    served.role(
        "app",
        &trust(
            json!({"AWS": "123456789012"}),
            json!(["sts:AssumeRole", "sts:TagSession"]),
            condition,
        ),
        None,
    );
    let assume = format!("Action=AssumeRole&RoleArn={ROLE}&RoleSessionName=monday");
    let tag = "Tags.member.1.Key=team&Tags.member.1.Value=blue";
    for (more, allowed) in [
        (format!("&ExternalId=agreed&{tag}"), true),
        (format!("&ExternalId=other&{tag}"), false),
        (tag.replace("Tags", "&Tags"), false),
        (format!("&ExternalId=agreed&{}", tag.replace("blue", "red")), false),
        (format!("&ExternalId=agreed&{tag}&SourceIdentity=jane"), false),
    ] {
        let (status, answer) = served.call("sts", &admin, &format!("{assume}{more}")).await;
        assert_eq!(status == 200, allowed, "{more}: {answer}");
    }
}

#[tokio::test]
async fn role_chaining_is_limited_to_an_hour_and_keeps_transitive_tags() {
    let served = Served::new().await;
    let admin = served.user("admin", Some(ADMINISTRATOR));
    let any_identity = trust(
        json!({"AWS": "123456789012"}),
        json!(["sts:AssumeRole", "sts:TagSession"]),
        json!({}),
    );
    served.role("app", &any_identity, Some(ADMINISTRATOR));
    let blue = json!({"StringEquals": {"aws:RequestTag/team": "blue"}});
    served.role(
        "next",
        &trust(json!({"AWS": "123456789012"}), json!(["sts:AssumeRole", "sts:TagSession"]), blue),
        None,
    );
    let first = format!(
        "Action=AssumeRole&RoleArn={ROLE}&RoleSessionName=one&Tags.member.1.Key=team&Tags.member.1.Value=blue&TransitiveTagKeys.member.1=team"
    );
    let session = credentials(&served.call("sts", &admin, &first).await.1);
    let next =
        format!("Action=AssumeRole&RoleArn={}&RoleSessionName=two", ROLE.replace("app", "next"));
    let (status, answer) = served.call("sts", &session, &next).await;
    assert_eq!(status, 200, "{answer}");
    let too_long = served.call("sts", &session, &format!("{next}&DurationSeconds=7200")).await;
    assert_error(&too_long, 400, "ValidationError");
    assert!(
        too_long.1.contains("1 hour session limit for roles assumed by role chaining"),
        "{too_long:?}"
    );
    let other = format!("{next}&Tags.member.1.Key=Team&Tags.member.1.Value=red");
    assert_error(&served.call("sts", &session, &other).await, 400, "InvalidParameterValue");
}

#[tokio::test]
async fn session_policies_only_restrict() {
    let served = Served::new().await;
    let admin = served.user("admin", Some(ADMINISTRATOR));
    let any_identity = trust(json!({"AWS": "123456789012"}), json!("sts:AssumeRole"), json!({}));
    served.role("app", &any_identity, Some(&allow("sts:GetAccessKeyInfo", "*")));
    let info = format!("Action=GetAccessKeyInfo&AccessKeyId={}", admin.access_key_id);
    for (policy, status) in
        [(None, 200), (Some(ADMINISTRATOR.to_owned()), 200), (Some(allow("rds:*", "*")), 403)]
    {
        let policy = policy.map_or(String::new(), |policy| format!("&Policy={}", encoded(&policy)));
        let form = format!("Action=AssumeRole&RoleArn={ROLE}&RoleSessionName=one{policy}");
        let session = credentials(&served.call("sts", &admin, &form).await.1);
        assert_eq!(served.call("sts", &session, &info).await.0, status, "{policy}");
    }
}

#[tokio::test]
async fn only_users_create_sessions_of_their_own() {
    let served = Served::new().await;
    let jane = served.user("jane", Some(ADMINISTRATOR));
    let session = credentials(
        &served.call("sts", &jane, "Action=GetSessionToken&DurationSeconds=900").await.1,
    );
    assert_eq!(whoami(&served, &session).await, "arn:aws:iam::123456789012:user/jane");
    assert_error(
        &served.call("sts", &session, "Action=GetSessionToken").await,
        403,
        "InvalidClientTokenId",
    );
    assert_error(
        &served.call("sts", &jane, "Action=GetSessionToken&DurationSeconds=129601").await,
        400,
        "ValidationError",
    );

    let lend = format!(
        "Action=GetFederationToken&Name=bob&Policy={}",
        encoded(&allow("sts:GetAccessKeyInfo", "*"))
    );
    let (status, answer) = served.call("sts", &jane, &lend).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&answer, "FederatedUserId"), "123456789012:bob");
    let lent = credentials(&answer);
    assert_eq!(whoami(&served, &lent).await, "arn:aws:sts::123456789012:federated-user/bob");
    assert_error(
        &served.call("sts", &lent, "Action=GetSessionToken").await,
        403,
        "InvalidClientTokenId",
    );
    assert_error(&served.call("sts", &served.user("john", None), &lend).await, 403, "AccessDenied");
    assert_error(
        &served.call("sts", &jane, "Action=DecodeAuthorizationMessage&EncodedMessage=x").await,
        400,
        "InvalidAuthorizationMessageException",
    );
}

#[tokio::test]
async fn sessions_of_deleted_users_and_tampered_tokens_are_invalid() {
    let served = Served::new().await;
    let jane = served.user("jane", None);
    let session = credentials(&served.call("sts", &jane, "Action=GetSessionToken").await.1);
    let token = session.session_token.as_ref().unwrap().expose().to_owned();
    let tampered = Credentials {
        session_token: countersign_core::credentials::Secret::new(
            token.replace(token.get(40..44).unwrap(), "AAAA"),
        ),
        ..session.clone()
    };
    assert_error(
        &served.call("sts", &tampered, "Action=GetCallerIdentity").await,
        403,
        "InvalidClientTokenId",
    );
    served
        .api
        .store()
        .change(|draft| {
            Ok::<_, countersign_authority::store::StoreError>(
                draft.remove::<countersign_authority::model::User>("123456789012/jane"),
            )
        })
        .unwrap();
    assert_error(
        &served.call("sts", &session, "Action=GetCallerIdentity").await,
        403,
        "InvalidClientTokenId",
    );
    assert_error(
        &served.call("sts", &jane, "Action=GetCallerIdentity").await,
        403,
        "InvalidClientTokenId",
    );
}

#[tokio::test]
async fn get_caller_identity_answers_in_json_on_request() {
    let served = Served::new().await;
    let (status, answer) = served
        .raw(
            "GET /?Action=GetCallerIdentity&Version=2011-06-15 HTTP/1.1\r\nhost: \
            x\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert!(status == 403 && answer.contains("MissingAuthenticationToken"), "{answer}");
}

/// Provider in the account, and the key that signs service account tokens.
struct Cluster {
    served: Served,
    key: IssuerKey,
}

impl Cluster {
    async fn new(condition: serde_json::Value) -> Self {
        let served = Served::new().await;
        let provider = OidcProvider {
            account: account(),
            partition: countersign_core::region::Partition::Aws,
            host: "oidc.countersign.internal".to_owned(),
            url: DEFAULT_URL.to_owned(),
            client_ids: vec!["sts.amazonaws.com".to_owned()],
            thumbprints: Vec::new(),
            created: 0,
            tags: Default::default(),
        };
        let principal = json!({"Federated": provider.arn()});
        served.api.store().change(|draft| draft.put(provider.clone())).unwrap();
        served.role(
            "app",
            &trust(principal, json!("sts:AssumeRoleWithWebIdentity"), condition),
            None,
        );
        let key = signing_key(served.api.store(), SystemTime::now()).unwrap();
        Self { served, key }
    }

    fn token(&self, key: &IssuerKey, edit: impl FnOnce(&mut ServiceAccountClaims<'_>)) -> String {
        let mut account = ServiceAccountClaims {
            issuer: DEFAULT_URL,
            audiences: &["sts.amazonaws.com"],
            namespace: "default",
            account: ClusterObject { name: "app", uid: "u" },
            pod: None,
            now: SystemTime::now(),
            lifetime: Duration::from_secs(600),
            token_id: "t",
        };
        edit(&mut account);
        key.sign(&account.claims()).unwrap().to_string()
    }

    async fn assume(&self, token: &str) -> (u16, String) {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={ROLE}&RoleSessionName=pod&WebIdentityToken={token}"
        );
        self.served.unsigned(&form).await
    }
}

fn usual_condition() -> serde_json::Value {
    json!({"StringEquals": {
        "oidc.countersign.internal:sub": "system:serviceaccount:default:app",
        "oidc.countersign.internal:aud": "sts.amazonaws.com",
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_account_assumes_the_role_that_trusts_it() {
    let cluster = Cluster::new(usual_condition()).await;
    let (status, answer) = cluster.assume(&cluster.token(&cluster.key, |_| ())).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(text(&answer, "SubjectFromWebIdentityToken"), "system:serviceaccount:default:app");
    assert_eq!(text(&answer, "Audience"), "sts.amazonaws.com");
    assert_eq!(
        whoami(&cluster.served, &credentials(&answer)).await,
        "arn:aws:sts::123456789012:assumed-role/app/pod"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_identity_tokens_get_aws_error_codes() {
    let cluster = Cluster::new(usual_condition()).await;
    let good = cluster.token(&cluster.key, |_| ());
    let other_key = IssuerKey::generate().unwrap();
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let [header, payload, _]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    for (token, status, code) in [
        (
            cluster.token(&cluster.key, |account| account.account.name = "other"),
            403,
            "AccessDenied",
        ),
        (
            cluster.token(&cluster.key, |account| account.audiences = &["other"]),
            400,
            "InvalidIdentityToken",
        ),
        (
            cluster.token(&cluster.key, |account| account.issuer = "https://evil.example"),
            400,
            "InvalidIdentityToken",
        ),
        (
            cluster.token(&cluster.key, |account| account.now = hour_ago),
            400,
            "ExpiredTokenException",
        ),
        (cluster.token(&other_key, |_| ()), 400, "InvalidIdentityToken"),
        (format!("{header}.{payload}."), 400, "InvalidIdentityToken"),
        // {"alg":"none"}
        (format!("eyJhbGciOiJub25lIn0.{payload}."), 400, "InvalidIdentityToken"),
        ("x".to_owned(), 400, "InvalidIdentityToken"),
        ("x".repeat(20_001), 400, "InvalidIdentityToken"),
    ] {
        assert_error(&cluster.assume(&token).await, status, code);
    }
    let elsewhere =
        Cluster::new(json!({"StringEquals": {"oidc.countersign.internal:aud": "another"}})).await;
    assert_error(
        &elsewhere.assume(&elsewhere.token(&elsewhere.key, |_| ())).await,
        403,
        "AccessDenied",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_keys_still_verify() {
    let cluster = Cluster::new(usual_condition()).await;
    let store = cluster.served.api.store();
    let later =
        SystemTime::now() + countersign_authority::issuer::KEY_LIFETIME + Duration::from_secs(1);
    let next = signing_key(store, later).unwrap();
    assert_ne!(next.id(), cluster.key.id());
    assert_eq!(signing_key(store, later).unwrap().id(), next.id());
    for key in [&cluster.key, &next] {
        assert_eq!(cluster.assume(&cluster.token(key, |_| ())).await.0, 200);
    }
    let much_later = later + 2 * countersign_authority::issuer::KEY_LIFETIME;
    let newest = signing_key(store, much_later).unwrap();
    let keys = countersign_authority::issuer::public_keys(&store.state().unwrap()).unwrap();
    assert!(keys.has(newest.id()) && !keys.has(cluster.key.id()));
}
