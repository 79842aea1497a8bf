//! Parameters of sessions, and the credentials in responses.

use std::time::Duration;

use countersign_core::credentials::Credentials;
use countersign_core::policy::PolicyKind;
use countersign_core::timestamp::rfc3339;

use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Xml;
use countersign_authority::effective_policies;
use countersign_authority::model::{Tags, seconds};
use countersign_authority::session::{Session, Subject};
use countersign_authority::{aws_managed, store};

/// Maximum size of an inline session policy in characters, and maximum number of managed session
/// policies and tags.
/// Source: "IAM and AWS STS quotas" in the IAM user guide.
const MAX_POLICY: usize = 2048;
const MAX_POLICY_ARNS: usize = 10;
const MAX_TAGS: usize = 50;

/// Default and maximum of `DurationSeconds`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Durations {
    pub(super) default: u32,
    pub(super) max: u32,
}

/// Limits, tags and source identity of a session.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionParams {
    pub(crate) duration: Duration,
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) tags: Tags,
    pub(crate) transitive: Vec<String>,
    pub(crate) source_identity: Option<String>,
}

impl SessionParams {
    /// Reads and validates the parameters.
    pub(super) fn read(ctx: &RequestContext<'_>, durations: Durations) -> Result<Self, ApiError> {
        let parameters = ctx.parameters;
        let policy = parameters.text("Policy").map(str::to_owned);
        if let Some(document) = &policy {
            if document.chars().count() > MAX_POLICY {
                return Err(ApiError::new(
                    "PackedPolicyTooLarge",
                    400,
                    &format!("The session policy has more than {MAX_POLICY} characters."),
                ));
            }
            store::check_policy("session policy", document, PolicyKind::Identity)?;
        }
        let policy_arns: Vec<String> = parameters
            .structures("PolicyArns")
            .iter()
            .filter_map(|one| one.text("arn").map(str::to_owned))
            .collect();
        if policy_arns.len() > MAX_POLICY_ARNS {
            return Err(ApiError::invalid("PolicyArns has more than 10 members"));
        }
        let exists = |arn: &&String| {
            aws_managed::document(arn).is_some()
                || effective_policies::managed_policy(&ctx.state, arn).is_some()
        };
        if let Some(arn) = policy_arns.iter().find(|arn| !exists(arn)) {
            return Err(ApiError::invalid(&format!("the managed policy {arn} does not exist")));
        }
        Ok(Self {
            duration: duration(parameters, durations)?,
            policy,
            policy_arns,
            tags: tags(parameters)?,
            transitive: parameters
                .list("TransitiveTagKeys")
                .into_iter()
                .map(str::to_owned)
                .collect(),
            source_identity: parameters
                .text("SourceIdentity")
                .map(|name| session_name("SourceIdentity", name))
                .transpose()?,
        })
    }

    /// Adds the condition keys of the parameters.
    /// Source: "IAM and AWS STS condition context keys" in the IAM user guide.
    pub(crate) fn add_condition_keys<'a>(&self, mut target: Target<'a>) -> Target<'a> {
        for (key, value) in &self.tags {
            target = target.with(&format!("aws:RequestTag/{key}"), value.as_str());
        }
        if !self.tags.is_empty() {
            target = target.with("aws:TagKeys", self.tags.keys().cloned().collect::<Vec<_>>());
        }
        if !self.transitive.is_empty() {
            target = target.with("sts:TransitiveTagKeys", self.transitive.clone());
        }
        match &self.source_identity {
            Some(source) => target.with("sts:SourceIdentity", source.as_str()),
            None => target,
        }
    }

    /// Returns the actions that must be allowed in addition to the requested one.
    pub(crate) fn additional_actions(&self) -> impl Iterator<Item = &'static str> {
        let tagged = (!self.tags.is_empty()).then_some("sts:TagSession");
        tagged.into_iter().chain(self.source_identity.is_some().then_some("sts:SetSourceIdentity"))
    }

    /// Returns a session that starts now.
    pub(super) fn session(
        self,
        ctx: &RequestContext<'_>,
        account: &str,
        subject: Subject,
        unique_id: &str,
    ) -> Result<Session, ApiError> {
        let issued = seconds(ctx.now);
        Ok(Session {
            account: account.parse()?,
            subject,
            unique_id: unique_id.to_owned(),
            issued,
            expires: issued.saturating_add(self.duration.as_secs()),
            policies: self.policy.into_iter().collect(),
            policy_arns: self.policy_arns,
            tags: self.tags,
            transitive_tag_keys: self.transitive,
            source_identity: self.source_identity,
            context_keys: Default::default(),
        })
    }

    /// Returns the used part of a session's capacity in percent.
    pub(super) fn packed_size(&self) -> usize {
        let tags: usize = self.tags.iter().map(|(key, value)| key.len() + value.len()).sum();
        let size = self.policy.as_ref().map_or(0, String::len)
            + self.policy_arns.iter().map(String::len).sum::<usize>()
            + tags;
        (size * 100).div_ceil(MAX_POLICY * 2)
    }
}

/// Validates a session's or source identity's name: 2 to 64 of `[\w+=,.@-]`.
pub(super) fn session_name(parameter: &str, name: &str) -> Result<String, ApiError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (2..=64).contains(&name.len()) && name.bytes().all(word) {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid(&format!(
        "1 validation error detected: Value '{}' at '{parameter}' failed to satisfy constraint: \
         Member must satisfy regular expression \
         pattern: [\\w+=,.@-]* and have length between 2 and 64",
        name.chars().take(100).collect::<String>()
    )))
}

fn duration(parameters: &Parameters, durations: Durations) -> Result<Duration, ApiError> {
    let requested = parameters.number("DurationSeconds")?.unwrap_or(u64::from(durations.default));
    if (900..=u64::from(durations.max)).contains(&requested) {
        return Ok(Duration::from_secs(requested));
    }
    Err(ApiError::invalid(if requested < 900 {
        "1 validation error detected: Value at 'durationSeconds' failed to satisfy constraint: \
         Member must have value greater than or equal to 900"
    } else {
        "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
    }))
}

fn tags(parameters: &Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in parameters.structures("Tags") {
        let (key, value) = (tag.required("Key")?, tag.text_or_empty("Value").unwrap_or_default());
        if key.chars().count() > 128 || value.chars().count() > 256 {
            return Err(ApiError::invalid(
                "a tag's key has more than 128 characters, or its value more than 256",
            ));
        }
        let twice = tags.keys().any(|known: &String| known.eq_ignore_ascii_case(key));
        if twice || tags.len() == MAX_TAGS {
            return Err(ApiError::new(
                "InvalidParameterValue",
                400,
                "Tag keys must be unique without regard to case, and at most 50.",
            ));
        }
        tags.insert(key.to_owned(), value.to_owned());
    }
    Ok(tags)
}

/// Writes the `Credentials` element.
pub(super) fn write_credentials(xml: &mut Xml, credentials: &Credentials) {
    xml.element("Credentials", |xml| {
        xml.leaf("AccessKeyId", &credentials.access_key_id)
            .leaf("SecretAccessKey", credentials.secret.expose());
        xml.optional_leaf(
            "SessionToken",
            credentials.session_token.as_ref().map(countersign_core::credentials::Secret::expose),
        );
        xml.optional_leaf("Expiration", credentials.expires.map(rfc3339));
    });
}
