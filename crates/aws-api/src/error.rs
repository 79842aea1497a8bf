//! Errors as AWS gives them: a code, an HTTP status, a sentence.

use countersign_core::name::InvalidName;

use countersign_authority::store::StoreError;

/// An error as AWS gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) code: &'static str,
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: &'static str, status: u16, message: &str) -> Self {
        Self { code, status, message: message.to_owned() }
    }

    /// A parameter is not there.
    pub(crate) fn missing(name: &str) -> Self {
        let camel = name
            .chars()
            .take(1)
            .flat_map(char::to_lowercase)
            .chain(name.chars().skip(1))
            .collect::<String>();
        Self::invalid(&format!(
            "1 validation error detected: Value null at '{camel}' failed to satisfy constraint: Member must not be null"
        ))
    }

    /// A parameter is of the wrong form.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// The authority itself failed. The log says how; the caller does not need to know.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "a request of the AWS API failed");
        Self::new(
            "InternalFailure",
            500,
            "The request processing has failed because of an internal error.",
        )
    }
}

impl From<InvalidName> for ApiError {
    fn from(invalid: InvalidName) -> Self {
        Self::invalid(&invalid.to_string())
    }
}

/// IAM's codes. Source: "Common errors" and the errors of each action in the IAM API reference.
impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NotFound(_) => Self::new("NoSuchEntity", 404, &message),
            StoreError::AlreadyExists(_) => Self::new("EntityAlreadyExists", 409, &message),
            StoreError::Policy { .. } => Self::new("MalformedPolicyDocument", 400, &message),
            StoreError::InvalidName(_) => Self::invalid(&message),
            StoreError::Contended => Self::new("ConcurrentModification", 409, &message),
            StoreError::Database { .. }
            | StoreError::File { .. }
            | StoreError::Schema(_)
            | StoreError::Corrupt(_)
            | StoreError::Random(_) => Self::internal(&error),
        }
    }
}
