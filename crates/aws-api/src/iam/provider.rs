//! OpenID Connect providers: issuers whose tokens roles can trust.

use std::sync::Arc;

use hyper::Uri;

use super::entity::{absent, arn, changed_meanwhile, date, limit};
use super::{tag, tag_set};
use crate::action::{Action, ActionOutput};
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;
use countersign_authority::model::{OidcProvider, Tags, seconds};
use countersign_authority::oidc::fetch::is_safe;
use countersign_authority::store::{Draft, account_key};

/// Limits. Source: "IAM and AWS STS quotas", and CreateOpenIDConnectProvider in the IAM API
/// reference.
const MAX_CLIENTS: usize = 100;
const MAX_THUMBPRINTS: usize = 5;
const MAX_PROVIDERS: usize = 100;
const MAX_URL: usize = 255;

pub(super) const ACTIONS: &[Action] = &[
    Action::writes(
        "CreateOpenIDConnectProvider",
        &["Url", "ClientIDList", "ThumbprintList", "Tags"],
        create,
    ),
    Action::reads("GetOpenIDConnectProvider", &["OpenIDConnectProviderArn"], get),
    Action::reads("ListOpenIDConnectProviders", &[], list),
    Action::writes("DeleteOpenIDConnectProvider", &["OpenIDConnectProviderArn"], delete),
    Action::writes(
        "UpdateOpenIDConnectProviderThumbprint",
        &["OpenIDConnectProviderArn", "ThumbprintList"],
        update_thumbprints,
    ),
    Action::writes(
        "AddClientIDToOpenIDConnectProvider",
        &["OpenIDConnectProviderArn", "ClientID"],
        add_client,
    ),
    Action::writes(
        "RemoveClientIDFromOpenIDConnectProvider",
        &["OpenIDConnectProviderArn", "ClientID"],
        remove_client,
    ),
    Action::writes("TagOpenIDConnectProvider", &["OpenIDConnectProviderArn", "Tags"], add_tags),
    Action::writes(
        "UntagOpenIDConnectProvider",
        &["OpenIDConnectProviderArn", "TagKeys"],
        remove_tags,
    ),
    Action::reads(
        "ListOpenIDConnectProviderTags",
        &["OpenIDConnectProviderArn", "Marker", "MaxItems"],
        list_tags,
    ),
];

fn invalid(message: &str) -> ApiError {
    ApiError::new("InvalidInput", 400, message)
}

/// Returns the issuer's URL, and the same without its scheme. Plain HTTP is accepted only for
/// issuers on this machine, where no network can be intercepted.
fn issuer<'a>(ctx: &RequestContext<'a>) -> Result<(&'a str, &'a str), ApiError> {
    let url = ctx.parameters.required("Url")?;
    let safe = url.parse().is_ok_and(|uri: Uri| is_safe(&uri));
    let host = url
        .split_once("://")
        .map(|(_, host)| host)
        .filter(|_| safe && url.len() <= MAX_URL && !url.contains(['?', '#']));
    let message = "Invalid Open ID Connect Provider URL: it must be https://HOST[/PATH] (http \
        only to a loopback address), without a \
                   query, of at most 255 characters.";
    Ok((url, host.ok_or_else(|| ApiError::invalid(message))?))
}

/// Returns the validated audiences.
fn check_clients(clients: &[String]) -> Result<(), ApiError> {
    if clients.iter().any(|client| client.is_empty() || client.chars().count() > 255) {
        return Err(ApiError::invalid("A client ID has 1 to 255 characters."));
    }
    if clients.len() > MAX_CLIENTS {
        return Err(limit("ClientIdsPerOpenIdConnectProvider", MAX_CLIENTS));
    }
    Ok(())
}

/// Returns the validated SHA-1 fingerprints of certificates, in hexadecimal.
fn thumbprints(ctx: &RequestContext<'_>) -> Result<Vec<String>, ApiError> {
    let list = ctx.parameters.list("ThumbprintList");
    if list
        .iter()
        .any(|print| print.len() != 40 || !print.bytes().all(|byte| byte.is_ascii_hexdigit()))
    {
        return Err(invalid("A thumbprint is the SHA-1 of a certificate: 40 hexadecimal digits."));
    }
    if list.len() > MAX_THUMBPRINTS {
        return Err(invalid("Thumbprint list must contain fewer than 5 entries."));
    }
    Ok(list.into_iter().map(str::to_owned).collect())
}

fn create(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let ((url, host), tags) = (issuer(ctx)?, tag_set::read(ctx)?);
    let arn = arn(ctx, "oidc-provider", "/", host)?;
    tag_set::authorize_creation(
        ctx,
        ["iam:CreateOpenIDConnectProvider", "iam:TagOpenIDConnectProvider"],
        Target::of(&arn),
        &tags,
    )?;
    let (account, partition, thumbprints) = (ctx.account()?, ctx.partition()?, thumbprints(ctx)?);
    let mut client_ids: Vec<String> = Vec::new();
    for client in ctx.parameters.list("ClientIDList") {
        if !client_ids.iter().any(|known| known == client) {
            client_ids.push(client.to_owned());
        }
    }
    check_clients(&client_ids)?;
    ctx.api.store().change(|draft: &mut Draft| {
        if draft.providers.contains_key(&account_key(account.as_str(), host)) {
            return Err(ApiError::new(
                "EntityAlreadyExists",
                409,
                &format!("Provider with url {url} already exists."),
            ));
        }
        if draft.of_account::<OidcProvider>(account.as_str()).count() >= MAX_PROVIDERS {
            return Err(limit("OpenIdConnectProvidersPerAccount", MAX_PROVIDERS));
        }
        draft.put(OidcProvider {
            account: account.clone(),
            partition,
            host: host.to_owned(),
            url: url.to_owned(),
            client_ids: client_ids.clone(),
            thumbprints: thumbprints.clone(),
            created: seconds(ctx.now),
            tags: tags.clone(),
        })?;
        Ok(())
    })?;
    let mut xml = Xml::new();
    xml.leaf("OpenIDConnectProviderArn", &arn);
    tag_set::write_present(&mut xml, &tags);
    Ok(xml.into())
}

/// Returns the provider of a request, if the caller may perform `action` on it.
fn allowed(
    ctx: &RequestContext<'_>,
    action: &str,
    new: &Tags,
    keys: &[String],
) -> Result<Arc<OidcProvider>, ApiError> {
    let arn = ctx.parameters.required("OpenIDConnectProviderArn")?;
    let host = arn
        .split_once(":oidc-provider/")
        .map(|(_, host)| host)
        .filter(|_| arn.starts_with("arn:") && arn.len() <= 2048);
    let host = host.ok_or_else(|| ApiError::invalid(&format!("ARN {arn} is not valid.")))?;
    let provider = ctx
        .state
        .providers
        .get(&account_key(ctx.account()?.as_str(), host))
        .filter(|provider| provider.arn() == arn);
    let target = tag_set::request_facts(Target::of(arn), new);
    let target = if keys.is_empty() { target } else { target.with("aws:TagKeys", keys.to_vec()) };
    ctx.authorize(
        action,
        &tag_set::resource_facts(target, provider.map(|provider| &provider.tags)),
    )?;
    provider
        .cloned()
        .ok_or_else(|| absent(&format!("OpenIDConnect Provider not found for arn {arn}")))
}

/// Returns the provider of a request without tags.
fn plain(ctx: &RequestContext<'_>, action: &str) -> Result<Arc<OidcProvider>, ApiError> {
    allowed(ctx, action, &Tags::new(), &[])
}

fn current(draft: &Draft, known: &OidcProvider) -> Result<OidcProvider, ApiError> {
    let stored = draft.providers.get(&account_key(known.account.as_str(), &known.host));
    let stored = stored.filter(|stored| {
        stored.arn() == known.arn() && stored.url == known.url && stored.tags == known.tags
    });
    stored.map(|provider| OidcProvider::clone(provider)).ok_or_else(changed_meanwhile)
}

/// Changes the provider, which must be unchanged since the authorization.
fn change(
    ctx: &RequestContext<'_>,
    known: &OidcProvider,
    mut work: impl FnMut(&mut OidcProvider) -> Result<(), ApiError>,
) -> Result<ActionOutput, ApiError> {
    ctx.api.store().change(|draft: &mut Draft| {
        let mut provider = current(draft, known)?;
        work(&mut provider)?;
        draft.put(provider)?;
        Ok::<_, ApiError>(())
    })?;
    Ok(ActionOutput::Empty)
}

fn get(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let provider = plain(ctx, "iam:GetOpenIDConnectProvider")?;
    let mut xml = Xml::new();
    // AWS omits the scheme of the URL.
    xml.leaf("Url", &provider.host).texts("ClientIDList", "member", &provider.client_ids);
    xml.texts("ThumbprintList", "member", &provider.thumbprints)
        .leaf("CreateDate", date(provider.created));
    tag_set::write_present(&mut xml, &provider.tags);
    Ok(xml.into())
}

fn list(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    ctx.authorize("iam:ListOpenIDConnectProviders", &Target::of("*"))?;
    let providers = ctx.state.of_account::<OidcProvider>(ctx.account()?.as_str());
    let mut xml = Xml::new();
    xml.list("OpenIDConnectProviderList", "member", providers, |xml, provider| {
        xml.leaf("Arn", provider.arn());
    });
    Ok(xml.into())
}

/// `DeleteOpenIDConnectProvider`: roles that trust the provider remain, but cannot be assumed with
/// its tokens. "It does not fail or return an error if you call the operation for a provider that
/// does not exist" (IAM API reference).
fn delete(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let known = match plain(ctx, "iam:DeleteOpenIDConnectProvider") {
        Err(absent) if absent.code == "NoSuchEntity" => return Ok(ActionOutput::Empty),
        known => known?,
    };
    ctx.api.store().change(|draft: &mut Draft| {
        let provider = current(draft, &known)?;
        draft.remove::<OidcProvider>(&account_key(provider.account.as_str(), &provider.host));
        Ok::<_, ApiError>(())
    })?;
    Ok(ActionOutput::Empty)
}

fn update_thumbprints(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let known = plain(ctx, "iam:UpdateOpenIDConnectProviderThumbprint")?;
    if !ctx.parameters.has("ThumbprintList") {
        return Err(ApiError::missing("ThumbprintList"));
    }
    let thumbprints = thumbprints(ctx)?;
    change(ctx, &known, |provider| {
        provider.thumbprints.clone_from(&thumbprints);
        Ok(())
    })
}

/// `AddClientIDToOpenIDConnectProvider`: "this operation is idempotent".
fn add_client(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let known = plain(ctx, "iam:AddClientIDToOpenIDConnectProvider")?;
    let client = ctx.parameters.required("ClientID")?;
    change(ctx, &known, |provider| {
        if !provider.client_ids.iter().any(|known| known == client) {
            provider.client_ids.push(client.to_owned());
        }
        check_clients(&provider.client_ids)
    })
}

/// `RemoveClientIDFromOpenIDConnectProvider`: "it does not fail or return an error if you try to
/// remove a client ID that does not exist".
fn remove_client(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let known = plain(ctx, "iam:RemoveClientIDFromOpenIDConnectProvider")?;
    let client = ctx.parameters.required("ClientID")?;
    change(ctx, &known, |provider| {
        provider.client_ids.retain(|known| known != client);
        Ok(())
    })
}

fn add_tags(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let new = tag_set::read(ctx)?;
    if new.is_empty() {
        return Err(ApiError::missing("Tags"));
    }
    let known = allowed(ctx, "iam:TagOpenIDConnectProvider", &new, &[])?;
    change(ctx, &known, |provider| tag_set::set(&mut provider.tags, &new))
}

fn remove_tags(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let keys = tag_set::keys(ctx)?;
    let known = allowed(ctx, "iam:UntagOpenIDConnectProvider", &Tags::new(), &keys)?;
    change(ctx, &known, |provider| {
        tag_set::remove(&mut provider.tags, &keys);
        Ok(())
    })
}

fn list_tags(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let provider = plain(ctx, "iam:ListOpenIDConnectProviderTags")?;
    tag::list_of(ctx, &provider.tags)
}
