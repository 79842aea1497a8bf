//! `AssumeRoleWithWebIdentity`: an identity provider's token is the proof, and the role's trust policy alone decides.

use std::sync::Arc;

use countersign_core::policy::Caller;

use super::grant::{Durations, SessionParams, session_name};
use super::role::{assumed, find, target};
use crate::action::ActionOutput;
use crate::context::RequestContext;
use crate::error::ApiError;
use countersign_authority::issuer;
use countersign_authority::model::OidcProvider;
use countersign_authority::oidc::jwk::Jwks;
use countersign_authority::oidc::jwt::{self, Claims, TokenError, UnverifiedJwt, Validation};
use countersign_authority::store::account_key;

/// `AssumeRoleWithWebIdentity`
pub(super) fn assume_role_with_web_identity(
    call: &RequestContext<'_>,
) -> Result<ActionOutput, ApiError> {
    let (arn, name) = (
        call.parameters.required("RoleArn")?,
        session_name("roleSessionName", call.parameters.required("RoleSessionName")?)?,
    );
    let role = find(&call.state, arn);
    let terms = SessionParams::read(
        call,
        Durations { usual: 3600, most: role.map_or(3600, |role| role.max_session) },
    )?;
    let token = jwt::parse(call.parameters.required("WebIdentityToken")?)
        .map_err(|error| refused(&error))?;
    let account = arn.split(':').nth(4).unwrap_or_default();
    let provider = provider(call, account, token.issuer())?;
    let keys = keys(call, &provider, &token)?;
    let audiences: Vec<&str> = provider.client_ids.iter().map(String::as_str).collect();
    let expected = Validation { issuer: &provider.url, audiences: &audiences, now: call.now };
    let claims = token.verify(&keys, expected).map_err(|error| refused(&error))?;

    let mut target = target(role, arn, &name)?.with("aws:FederatedProvider", provider.arn());
    for (key, value) in facts(&provider, &claims) {
        target = target.with(&key, value);
    }
    let caller: Caller = provider.arn().parse()?;
    call.authorize_external(&caller, "sts:AssumeRoleWithWebIdentity", &target).map_err(|_| {
        ApiError::new(
            "AccessDenied",
            403,
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )
    })?;
    let role = role.ok_or_else(|| {
        ApiError::new(
            "AccessDenied",
            403,
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        )
    })?;

    let mut xml = assumed(call, role, &name, terms, |session| {
        session.context_keys.insert("aws:FederatedProvider".to_owned(), provider.arn());
        session.context_keys.extend(facts(&provider, &claims));
    })?;
    xml.leaf("SubjectFromWebIdentityToken", &claims.subject);
    xml.optional_leaf("Audience", claims.audience.first()).leaf("Provider", provider.arn());
    Ok(xml.into())
}

/// The provider that the role's account has for the issuer.
fn provider(
    call: &RequestContext<'_>,
    account: &str,
    issuer: &str,
) -> Result<Arc<OidcProvider>, ApiError> {
    let host = issuer
        .strip_prefix("https://")
        .or_else(|| issuer.strip_prefix("http://"))
        .unwrap_or(issuer);
    let found = call
        .state
        .providers
        .get(&account_key(account, host))
        .filter(|provider| provider.url == issuer);
    found.cloned().ok_or_else(|| {
        let shown: String = issuer.chars().take(255).collect();
        tracing::info!(
            issuer = shown,
            account,
            "a web identity token's issuer is no provider of the role's account"
        );
        ApiError::new(
            "InvalidIdentityToken",
            400,
            &format!("No OpenIDConnect provider found in your account for {shown}"),
        )
    })
}

/// The issuer's keys: the authority's own, or fetched from it.
fn keys(
    call: &RequestContext<'_>,
    provider: &OidcProvider,
    token: &UnverifiedJwt<'_>,
) -> Result<Arc<Jwks>, ApiError> {
    if provider.url == call.api.issuer {
        return issuer::public_keys(&call.state).map_err(|error| ApiError::internal(&error));
    }
    // The action is one that waits: it has a thread of its own.
    let keys = tokio::runtime::Handle::current()
        .block_on(call.api.issuers.keys(&provider.url, token.key_id().unwrap_or_default()));
    keys.map_err(|error| {
        tracing::info!(issuer = provider.url, %error, "an identity provider's keys can't be had");
        ApiError::new(
            "IDPCommunicationError",
            400,
            "The identity provider could not be reached to verify the token: retry.",
        )
    })
}

/// Condition keys of the token. Source: "Available keys for AWS OIDC federation" in the IAM user guide.
fn facts(provider: &OidcProvider, claims: &Claims) -> Vec<(String, String)> {
    let authorized = claims.other_claims.get("azp").and_then(|values| values.first());
    let audience = authorized.or(claims.audience.first()).cloned().unwrap_or_default();
    vec![
        (format!("{}:sub", provider.host), claims.subject.clone()),
        (format!("{}:aud", provider.host), audience),
    ]
}

/// STS's code and status, and for the log the reason.
fn refused(error: &TokenError) -> ApiError {
    tracing::info!(%error, "a web identity token was refused");
    let code = error.aws_code();
    let status = if code == "IDPRejectedClaim" { 403 } else { 400 };
    ApiError::new(code, status, &format!("The web identity token was refused: {error}"))
}
