//! The SSO portal: an access token for the credentials of the roles that were granted to its person.
//!
//! On AWS a permission set's role trusts IAM Identity Center's SAML provider. Here the grant itself is the right, which only the
//! owner of the store can make: the role's trust policy is not asked.
//!
//! Source: AWS SSO Portal API reference.

use std::sync::Arc;

use countersign_core::credentials::Secret;
use hyper::{Method, Response};
use serde_json::{Value, json};

use super::request::{MAX_TOKEN, MetadataRequest};
use crate::error::ApiError;
use crate::response;
use crate::sts::grant::SessionParams;
use crate::sts::role::{find, issue};
use countersign_authority::model::{PortalGrant, instant};
use countersign_authority::store::{StoreError, token_hash};

pub(super) const CREDENTIALS_PATH: &str = "/federation/credentials";
pub(super) const ACCOUNTS_PATH: &str = "/assignment/accounts";
pub(super) const ROLES_PATH: &str = "/assignment/roles";
pub(super) const LOGOUT_PATH: &str = "/logout";

/// Where the access token is.
const TOKEN: &str = "x-amz-sso_bearer_token";

/// `GetRoleCredentials`
pub(super) fn credentials(visit: &MetadataRequest<'_>) -> Response<String> {
    respond(visit, &Method::GET, |grant| {
        let (role, account) = (required(visit, "role_name")?, required(visit, "account_id")?);
        let granted = grant.roles.iter().find(|arn| parts(arn) == Some((account, role)));
        let arn = granted.ok_or_else(|| missing("No access to this role in this account."))?;
        let role = find(&visit.state, arn).ok_or_else(|| missing("The role has gone."))?;
        let call = visit.context();
        let terms = SessionParams {
            duration: std::time::Duration::from_secs(u64::from(role.max_session)),
            ..SessionParams::default()
        };
        let (credentials, _) = issue(&call, role, &grant.user, terms, |_| {})?;
        let milliseconds =
            credentials.expires.map_or(0, countersign_authority::model::seconds) * 1000;
        Ok(json!({ "roleCredentials": {
            "accessKeyId": credentials.access_key_id.as_str(),
            "secretAccessKey": credentials.secret.expose(),
            "sessionToken": credentials.session_token.as_ref().map(Secret::expose),
            "expiration": milliseconds,
        } }))
    })
}

/// `ListAccounts`, all on one page.
pub(super) fn accounts(visit: &MetadataRequest<'_>) -> Response<String> {
    respond(visit, &Method::GET, |grant| {
        let mut ids: Vec<&str> =
            grant.roles.iter().filter_map(|arn| parts(arn)).map(|(account, _)| account).collect();
        ids.sort_unstable();
        ids.dedup();
        let account = |id: &str| json!({ "accountId": id, "accountName": id, "emailAddress": "" });
        Ok(json!({ "accountList": ids.into_iter().map(account).collect::<Vec<_>>() }))
    })
}

/// `ListAccountRoles`, all on one page.
pub(super) fn roles(visit: &MetadataRequest<'_>) -> Response<String> {
    respond(visit, &Method::GET, |grant| {
        let account = required(visit, "account_id")?;
        let own = grant.roles.iter().filter_map(|arn| parts(arn)).filter(|(of, _)| *of == account);
        Ok(
            json!({ "roleList": own.map(|(account, role)| json!({ "roleName": role, "accountId": account })).collect::<Vec<_>>() }),
        )
    })
}

/// `Logout`: the token is good for nothing from now on. Sessions that came of it go on, as on AWS.
pub(super) fn logout(visit: &MetadataRequest<'_>) -> Response<String> {
    respond(visit, &Method::POST, |grant| {
        visit
            .api
            .store()
            .change(|draft| Ok::<_, StoreError>(draft.remove::<PortalGrant>(&grant.token_hash)))?;
        Ok(json!({}))
    })
}

fn respond(
    visit: &MetadataRequest<'_>,
    method: &Method,
    act: impl FnOnce(&PortalGrant) -> Result<Value, ApiError>,
) -> Response<String> {
    let answer = match visit.is(method) {
        true => grant(visit).and_then(|grant| act(&grant)),
        false => Err(invalid("This is to be asked by another method.")),
    };
    match answer {
        Ok(value) => response::json(200, &value),
        Err(error) => response::json_error(&error),
    }
}

/// What the access token's person was granted.
fn grant(visit: &MetadataRequest<'_>) -> Result<Arc<PortalGrant>, ApiError> {
    let unauthorized =
        || ApiError::new("UnauthorizedException", 401, "Session token not found or invalid");
    let token = visit
        .header(TOKEN)
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
        .ok_or_else(unauthorized)?;
    let grant = visit.state.portal.get(&token_hash(token)).ok_or_else(unauthorized)?;
    if visit.now >= instant(grant.expires) {
        return Err(unauthorized());
    }
    Ok(Arc::clone(grant))
}

/// The account and name in a role's ARN. The name is the whole of it: a permission set is called as its role is.
fn parts(arn: &str) -> Option<(&str, &str)> {
    let (account, resource) = arn.strip_prefix("arn:")?.split_once(":iam::")?.1.split_once(':')?;
    Some((account, resource.strip_prefix("role/")?.rsplit('/').next()?))
}

fn required<'a>(visit: &'a MetadataRequest<'_>, name: &str) -> Result<&'a str, ApiError> {
    visit.parameters.text(name).ok_or_else(|| invalid(&format!("{name} is missing")))
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidRequestException", 400, message)
}

fn missing(message: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", 404, message)
}
