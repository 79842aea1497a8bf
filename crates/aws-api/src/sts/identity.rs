//! Who calls, whose a key is, and what an encoded message says.

use crate::action::ActionOutput;
use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::xml::Xml;

/// `GetCallerIdentity`: everybody may ask, and no policy can deny it.
pub(super) fn get_caller_identity(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let owner = &call.identity()?.owner;
    Ok(ActionOutput::Texts(vec![
        ("Arn", owner.arn.to_string()),
        ("UserId", owner.unique_id.clone()),
        ("Account", owner.account.to_string()),
    ]))
}

/// `GetAccessKeyInfo`: the account of a long-term key. (AWS reads a session key's account out of its id, too; the authority's
/// ids are random.)
pub(super) fn get_access_key_info(call: &RequestContext<'_>) -> Result<ActionOutput, ApiError> {
    let id = call.parameters.required("AccessKeyId")?;
    call.authorize("sts:GetAccessKeyInfo", &Target::of("*"))?;
    let key = call.state.access_keys.get(id).ok_or_else(|| {
        ApiError::invalid("The access key id is none of this authority's long-term keys.")
    })?;
    let mut xml = Xml::new();
    xml.leaf("Account", &key.account);
    Ok(xml.into())
}

/// `DecodeAuthorizationMessage`: neither STS nor IAM nor RDS encodes its denials, so there is no message to decode.
pub(super) fn decode_authorization_message(
    call: &RequestContext<'_>,
) -> Result<ActionOutput, ApiError> {
    call.parameters.required("EncodedMessage")?;
    call.authorize("sts:DecodeAuthorizationMessage", &Target::of("*"))?;
    Err(ApiError::new(
        "InvalidAuthorizationMessageException",
        400,
        "The message was not encoded by this authority: its services say in the error itself why they deny.",
    ))
}
