//! STS: identity of the caller, and temporary credentials.

pub(super) mod grant;
mod identity;
pub(super) mod role;
mod user;
mod web_identity;

use super::action::{Action, Service};

/// Source: STS API reference, version 2011-06-15.
pub(super) const STS: Service = Service {
    name: "sts",
    version: "2011-06-15",
    namespace: "https://sts.amazonaws.com/doc/2011-06-15/",
    actions: &[IDENTITY, SESSIONS],
};

const IDENTITY: &[Action] = &[
    Action::reads("GetCallerIdentity", &[], identity::get_caller_identity),
    Action::reads("GetAccessKeyInfo", &["AccessKeyId"], identity::get_access_key_info),
    Action::reads(
        "DecodeAuthorizationMessage",
        &["EncodedMessage"],
        identity::decode_authorization_message,
    ),
];

const SESSIONS: &[Action] = &[
    Action::reads(
        "AssumeRole",
        &[
            "RoleArn",
            "RoleSessionName",
            "DurationSeconds",
            "ExternalId",
            "Policy",
            "PolicyArns",
            "SourceIdentity",
            "Tags",
            "TransitiveTagKeys",
        ],
        role::assume_role,
    ),
    Action::waits(
        "AssumeRoleWithWebIdentity",
        &[
            "RoleArn",
            "RoleSessionName",
            "WebIdentityToken",
            "DurationSeconds",
            "Policy",
            "PolicyArns",
        ],
        web_identity::assume_role_with_web_identity,
    )
    .unsigned(),
    Action::reads("GetSessionToken", &["DurationSeconds"], user::get_session_token),
    Action::reads(
        "GetFederationToken",
        &["Name", "DurationSeconds", "Policy", "PolicyArns", "Tags"],
        user::get_federation_token,
    ),
];

#[cfg(test)]
mod tests;
