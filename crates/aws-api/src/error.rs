//! Errors in the form of AWS: code, HTTP status, message.

use countersign_authority::random::RandomError;
use countersign_authority::seal::SealError;
use countersign_authority::store::StoreError;
use countersign_core::name::InvalidName;

/// Error response of an action.
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

    /// A request without a signature.
    pub(crate) fn unsigned() -> Self {
        Self::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token")
    }

    /// A key that is unknown or inactive, or a wrong session token.
    pub(crate) fn invalid_token() -> Self {
        Self::new(
            "InvalidClientTokenId",
            403,
            "The security token included in the request is invalid.",
        )
    }

    /// A required parameter is absent.
    pub(crate) fn missing(name: &str) -> Self {
        let camel = name
            .chars()
            .take(1)
            .flat_map(char::to_lowercase)
            .chain(name.chars().skip(1))
            .collect::<String>();
        Self::invalid(&format!(
            "1 validation error detected: Value null at '{camel}' failed to satisfy constraint: \
             Member must not be null"
        ))
    }

    /// A parameter is invalid.
    pub(crate) fn invalid(message: &str) -> Self {
        Self::new("ValidationError", 400, message)
    }

    /// The authority failed. The cause is logged and withheld from the caller.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        tracing::error!(%error, "API request failed");
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

impl From<RandomError> for ApiError {
    fn from(error: RandomError) -> Self {
        Self::internal(&error)
    }
}

impl From<SealError> for ApiError {
    fn from(error: SealError) -> Self {
        Self::internal(&error)
    }
}

/// Maps to IAM's codes. Source: "Common errors" and the errors of each action in the IAM API
/// reference.
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
            | StoreError::Random(_)
            | StoreError::Seal(_) => Self::internal(&error),
        }
    }
}
