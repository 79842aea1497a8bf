//! `AssumeRoleWithWebIdentity`: an identity provider's token authenticates the caller, and the
//! role's trust policy alone decides.

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
    ctx: &RequestContext<'_>,
) -> Result<ActionOutput, ApiError> {
    let (arn, name) = (
        ctx.parameters.required("RoleArn")?,
        session_name("roleSessionName", ctx.parameters.required("RoleSessionName")?)?,
    );
    let role = find(&ctx.state, arn);
    let params = SessionParams::read(
        ctx,
        Durations { default: 3600, max: role.map_or(3600, |role| role.max_session) },
    )?;
    let token = jwt::parse(ctx.parameters.required("WebIdentityToken")?)
        .map_err(|error| rejected(&error))?;
    let account = arn.split(':').nth(4).unwrap_or_default();
    let provider = provider(ctx, account, token.issuer())?;
    let keys = keys(ctx, &provider, &token)?;
    let audiences: Vec<&str> = provider.client_ids.iter().map(String::as_str).collect();
    let expected = Validation { issuer: &provider.url, audiences: &audiences, now: ctx.now };
    let claims = token.verify(&keys, expected).map_err(|error| rejected(&error))?;

    let mut target = target(role, arn, &name)?.with("aws:FederatedProvider", provider.arn());
    for (key, value) in condition_keys(&provider, &claims) {
        target = target.with(&key, value);
    }
    let caller: Caller = provider.arn().parse()?;
    ctx.authorize_external(&caller, "sts:AssumeRoleWithWebIdentity", &target).map_err(|_| {
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

    let mut xml = assumed(ctx, role, &name, params, |session| {
        session.context_keys.insert("aws:FederatedProvider".to_owned(), provider.arn());
        session.context_keys.extend(condition_keys(&provider, &claims));
    })?;
    xml.leaf("SubjectFromWebIdentityToken", &claims.subject);
    xml.optional_leaf("Audience", claims.audience.first()).leaf("Provider", provider.arn());
    Ok(xml.into())
}

/// Returns the provider of an issuer in the role's account.
fn provider(
    ctx: &RequestContext<'_>,
    account: &str,
    issuer: &str,
) -> Result<Arc<OidcProvider>, ApiError> {
    let host = issuer
        .strip_prefix("https://")
        .or_else(|| issuer.strip_prefix("http://"))
        .unwrap_or(issuer);
    let provider = ctx
        .state
        .providers
        .get(&account_key(account, host))
        .filter(|provider| provider.url == issuer);
    provider.cloned().ok_or_else(|| {
        let shown: String = issuer.chars().take(255).collect();
        tracing::info!(
            issuer = shown,
            account,
            "web identity token rejected: its issuer is not a provider of the role's account"
        );
        ApiError::new(
            "InvalidIdentityToken",
            400,
            &format!("No OpenIDConnect provider found in your account for {shown}"),
        )
    })
}

/// Returns the issuer's keys; those of other issuers are fetched.
fn keys(
    ctx: &RequestContext<'_>,
    provider: &OidcProvider,
    token: &UnverifiedJwt<'_>,
) -> Result<Arc<Jwks>, ApiError> {
    if provider.url == ctx.api.issuer {
        return issuer::public_keys(&ctx.state).map_err(|error| ApiError::internal(&error));
    }
    // The action runs on a blocking thread.
    let keys = tokio::runtime::Handle::current()
        .block_on(ctx.api.issuers.keys(&provider.url, token.key_id().unwrap_or_default()));
    keys.map_err(|error| {
        let issuer = &provider.url;
        tracing::info!(issuer, %error, "cannot fetch the keys of an identity provider");
        ApiError::new(
            "IDPCommunicationError",
            400,
            "The identity provider could not be reached to verify the token: retry.",
        )
    })
}

/// Returns the condition keys of a token.
/// Source: "Available keys for AWS OIDC federation" in the IAM user guide.
fn condition_keys(provider: &OidcProvider, claims: &Claims) -> Vec<(String, String)> {
    let authorized = claims.other_claims.get("azp").and_then(|values| values.first());
    let audience = authorized.or(claims.audience.first()).cloned().unwrap_or_default();
    vec![
        (format!("{}:sub", provider.host), claims.subject.clone()),
        (format!("{}:aud", provider.host), audience),
    ]
}

/// Returns STS's error and logs the reason.
fn rejected(error: &TokenError) -> ApiError {
    tracing::info!(%error, "web identity token rejected");
    let code = error.aws_code();
    let status = if code == "IDPRejectedClaim" { 403 } else { 400 };
    ApiError::new(code, status, &format!("The web identity token is invalid: {error}"))
}
