//! SSO portal: exchanges an access token for credentials of the roles granted to a user.
//!
//! On AWS, the role of a permission set trusts IAM Identity Center's SAML provider. Here the grant
//! itself allows the session, and only the owner of the store can create grants: the role's trust
//! policy is not evaluated.
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

/// Header of the access token.
const TOKEN: &str = "x-amz-sso_bearer_token";

/// `GetRoleCredentials`
pub(super) fn credentials(request: &MetadataRequest<'_>) -> Response<String> {
    respond(request, &Method::GET, |grant| {
        let (role, account) = (required(request, "role_name")?, required(request, "account_id")?);
        let granted = grant.roles.iter().find(|arn| parts(arn) == Some((account, role)));
        let arn = granted.ok_or_else(|| missing("No access to this role in this account."))?;
        let role =
            find(&request.state, arn).ok_or_else(|| missing("The role no longer exists."))?;
        let ctx = request.context();
        let params = SessionParams {
            duration: std::time::Duration::from_secs(u64::from(role.max_session)),
            ..SessionParams::default()
        };
        let (credentials, _) = issue(&ctx, role, &grant.user, params, |_| {})?;
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
pub(super) fn accounts(request: &MetadataRequest<'_>) -> Response<String> {
    respond(request, &Method::GET, |grant| {
        let mut ids: Vec<&str> =
            grant.roles.iter().filter_map(|arn| parts(arn)).map(|(account, _)| account).collect();
        ids.sort_unstable();
        ids.dedup();
        let account = |id: &str| json!({ "accountId": id, "accountName": id, "emailAddress": "" });
        Ok(json!({ "accountList": ids.into_iter().map(account).collect::<Vec<_>>() }))
    })
}

/// `ListAccountRoles`, all on one page.
pub(super) fn roles(request: &MetadataRequest<'_>) -> Response<String> {
    respond(request, &Method::GET, |grant| {
        let account = required(request, "account_id")?;
        let own = grant.roles.iter().filter_map(|arn| parts(arn)).filter(|(of, _)| *of == account);
        let roles: Vec<_> =
            own.map(|(account, role)| json!({ "roleName": role, "accountId": account })).collect();
        Ok(json!({ "roleList": roles }))
    })
}

/// `Logout` invalidates the token. Sessions that it created stay valid, as on AWS.
pub(super) fn logout(request: &MetadataRequest<'_>) -> Response<String> {
    respond(request, &Method::POST, |grant| {
        request
            .api
            .store()
            .change(|draft| Ok::<_, StoreError>(draft.remove::<PortalGrant>(&grant.token_hash)))?;
        Ok(json!({}))
    })
}

fn respond(
    request: &MetadataRequest<'_>,
    method: &Method,
    act: impl FnOnce(&PortalGrant) -> Result<Value, ApiError>,
) -> Response<String> {
    let answer = match request.is(method) {
        true => grant(request).and_then(|grant| act(&grant)),
        false => Err(invalid("Method not allowed.")),
    };
    match answer {
        Ok(value) => response::json(200, &value),
        Err(error) => response::json_error(&error),
    }
}

/// Returns the grant of the access token.
fn grant(request: &MetadataRequest<'_>) -> Result<Arc<PortalGrant>, ApiError> {
    let unauthorized =
        || ApiError::new("UnauthorizedException", 401, "Session token not found or invalid");
    let token = request
        .header(TOKEN)
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
        .ok_or_else(unauthorized)?;
    let grant = request.state.portal.get(&token_hash(token)).ok_or_else(unauthorized)?;
    if request.now >= instant(grant.expires) {
        return Err(unauthorized());
    }
    Ok(Arc::clone(grant))
}

/// Returns the account and name of a role's ARN. The portal names permission sets after their
/// roles.
fn parts(arn: &str) -> Option<(&str, &str)> {
    let (account, resource) = arn.strip_prefix("arn:")?.split_once(":iam::")?.1.split_once(':')?;
    Some((account, resource.strip_prefix("role/")?.rsplit('/').next()?))
}

fn required<'a>(request: &'a MetadataRequest<'_>, name: &str) -> Result<&'a str, ApiError> {
    request.parameters.text(name).ok_or_else(|| invalid(&format!("{name} is missing")))
}

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidRequestException", 400, message)
}

fn missing(message: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", 404, message)
}
