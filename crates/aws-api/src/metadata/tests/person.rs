//! The SSO portal.

use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use serde_json::{Value, json};

use super::{ROLE, get, trust, whoami};
use crate::testing::Served;
use countersign_authority::store::{PortalAccess, PortalRequest};

const TOKEN: &str = "x-amz-sso_bearer_token";
const HOUR: Duration = Duration::from_secs(3600);

fn sign_in(served: &Served, role: &str, token: Option<&str>, at: SystemTime) -> PortalAccess {
    let request = PortalRequest { user: "jane@example.com", role, token, lifetime: HOUR };
    served.api.store().ensure_portal_access(&request, at).unwrap()
}

async fn portal() -> (Served, PortalAccess) {
    let served = Served::new().await;
    // The grant allows the session: the trust policy is not evaluated.
    served.role("app", &trust("ec2.amazonaws.com", &["sts:AssumeRole"], &json!({})), None);
    served.role("admin", &trust("ec2.amazonaws.com", &["sts:AssumeRole"], &json!({})), None);
    let access = sign_in(&served, ROLE, None, SystemTime::now());
    (served, access)
}

fn query(role: &str) -> String {
    format!("/federation/credentials?role_name={role}&account_id=123456789012")
}

#[tokio::test]
async fn a_user_gets_credentials_of_granted_roles() {
    let (served, access) = portal().await;
    let own = [(TOKEN, access.token.as_str())];
    let (status, _, body) = get(&served, &query("app"), &own).await;
    assert_eq!(status, 200, "{body}");
    let value: Value = serde_json::from_str(&body).unwrap();
    let member = |name: &str| value["roleCredentials"][name].as_str().unwrap();
    let session = Credentials {
        access_key_id: member("accessKeyId").parse().unwrap(),
        secret: Secret::new(member("secretAccessKey")).unwrap(),
        session_token: Secret::new(member("sessionToken")),
        expires: None,
    };
    let ends = value["roleCredentials"]["expiration"].as_u64().unwrap();
    assert!(
        ends > countersign_authority::model::seconds(SystemTime::now() + HOUR / 2) * 1000,
        "in milliseconds: {ends}"
    );
    assert_eq!(
        whoami(&served, &session).await,
        "arn:aws:sts::123456789012:assumed-role/app/jane@example.com"
    );

    let accounts: Value =
        serde_json::from_str(&get(&served, "/assignment/accounts", &own).await.2).unwrap();
    assert_eq!(accounts["accountList"][0]["accountId"], "123456789012");
    let roles: Value = serde_json::from_str(
        &get(&served, "/assignment/roles?account_id=123456789012", &own).await.2,
    )
    .unwrap();
    assert_eq!(roles, json!({"roleList": [{"roleName": "app", "accountId": "123456789012"}]}));
    let elsewhere: Value = serde_json::from_str(
        &get(&served, "/assignment/roles?account_id=999999999999", &own).await.2,
    )
    .unwrap();
    assert_eq!(elsewhere, json!({"roleList": []}));
}

#[tokio::test]
async fn rejected_requests_get_errors_that_the_sdks_parse() {
    let (served, access) = portal().await;
    let ended = sign_in(&served, ROLE, None, SystemTime::now() - HOUR);
    let hash: String = countersign_authority::store::token_hash(&access.token);
    let token = access.token.as_str();
    for (path, token, status, code) in [
        (query("app"), "", 401, "UnauthorizedException"),
        (query("app"), "x", 401, "UnauthorizedException"),
        (query("app"), ended.token.as_str(), 401, "UnauthorizedException"),
        (query("app"), &hash, 401, "UnauthorizedException"),
        (query("admin"), token, 404, "ResourceNotFoundException"),
        (query("gone"), token, 404, "ResourceNotFoundException"),
        (
            query("app").replace("123456789012", "999999999999"),
            token,
            404,
            "ResourceNotFoundException",
        ),
        ("/federation/credentials?role_name=app".to_owned(), token, 400, "InvalidRequestException"),
        ("/federation/credentials".to_owned(), token, 400, "InvalidRequestException"),
        ("/assignment/roles".to_owned(), token, 400, "InvalidRequestException"),
        ("/logout".to_owned(), token, 400, "InvalidRequestException"),
    ] {
        let (actual, head, body) = get(&served, &path, &[(TOKEN, token)]).await;
        let wanted = format!("x-amzn-errortype: {}", code.to_ascii_lowercase());
        assert!(
            actual == status && head.contains(&wanted) && body.contains(code),
            "{path}: expected {status} {code}: {head} {body}"
        );
    }
    served
        .api
        .store()
        .change(|draft| {
            Ok::<_, countersign_authority::store::StoreError>(
                draft.remove::<countersign_authority::model::Role>("123456789012/app"),
            )
        })
        .unwrap();
    assert_eq!(
        get(&served, &query("app"), &[(TOKEN, token)]).await.0,
        404,
        "the role no longer exists"
    );
}

#[tokio::test]
async fn logout_invalidates_the_token() {
    let (served, access) = portal().await;
    let post = format!(
        "POST /logout HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{TOKEN}: {}\r\n\r\n",
        *access.token
    );
    assert_eq!(served.raw(&post).await.0, 200);
    assert_eq!(get(&served, &query("app"), &[(TOKEN, &access.token)]).await.0, 401);
    assert_eq!(served.raw(&post).await.0, 401);
}

#[tokio::test]
async fn a_recent_sign_in_is_reused_and_extended_by_roles() {
    let (served, access) = portal().await;
    let (now, admin) = (SystemTime::now(), ROLE.replace("app", "admin"));
    let again = sign_in(&served, &admin, Some(&access.token), now);
    assert_eq!((&again.token, again.roles.len()), (&access.token, 2));
    assert_eq!(get(&served, &query("admin"), &[(TOKEN, &again.token)]).await.0, 200);
    let later = sign_in(&served, ROLE, Some(&access.token), now + HOUR * 3 / 4);
    assert!(later.token != access.token && later.roles.len() == 2, "it was old: {later:?}");
    let stolen =
        PortalRequest { user: "john", role: ROLE, token: Some(&access.token), lifetime: HOUR };
    let other = served.api.store().ensure_portal_access(&stolen, now).unwrap();
    assert!(other.token != access.token && other.roles.len() == 1, "another's: {other:?}");
    sign_in(&served, ROLE, None, now + 3 * HOUR);
    assert_eq!(served.api.store().state().unwrap().portal.size(), 1, "expired grants are removed");
    for user in ["x", "a b", ""] {
        assert!(
            served
                .api
                .store()
                .ensure_portal_access(&PortalRequest { user, ..stolen }, now)
                .is_err(),
            "{user:?}"
        );
    }
}
