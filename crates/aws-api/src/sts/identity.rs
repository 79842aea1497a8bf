//! Identity of the caller, account of a key, and decoding of messages.

use crate::action::ActionOutput;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;

/// `GetCallerIdentity`: every caller may use it, and no policy can deny it.
pub(super) fn get_caller_identity(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let owner = &ctx.identity()?.owner;
    Ok(ActionOutput::Texts(vec![
        ("Arn", owner.arn.to_string()),
        ("UserId", owner.unique_id.clone()),
        ("Account", owner.account.to_string()),
    ]))
}

/// Returns the account of a long-term key. (AWS also reads a session key's account from its id; the
/// authority's ids are random.)
pub(super) fn get_access_key_info(ctx: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let id = ctx.parameters.required("AccessKeyId")?;
    ctx.authorize("sts:GetAccessKeyInfo", &Target::of("*"))?;
    let key = ctx.state.access_keys.get(id).ok_or_else(|| {
        ApiError::invalid("The access key id is not a long-term key of this authority.")
    })?;
    let mut xml = Xml::new();
    xml.leaf("Account", &key.account);
    Ok(xml.into())
}

/// `DecodeAuthorizationMessage`: STS, IAM and RDS do not encode their denials, so no message can be
/// decoded.
pub(super) fn decode_authorization_message(
    ctx: &RequestContext<'_>,
) -> Result<ActionOutput, ApiError> {
    ctx.parameters.required("EncodedMessage")?;
    ctx.authorize("sts:DecodeAuthorizationMessage", &Target::of("*"))?;
    Err(ApiError::new(
        "InvalidAuthorizationMessageException",
        400,
        "This authority did not encode the message: errors of its services contain the reason of \
         a denial.",
    ))
}
