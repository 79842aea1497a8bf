//! EKS Pod Identity agent: exchanges a pod's service account token for credentials of the role that
//! is associated with the service account.
//!
//! Source: "Learn how EKS Pod Identity grants pods access to AWS services" in the EKS user guide
//! and AssumeRoleForPodIdentity in the EKS Auth API reference; for the form of responses and
//! errors, aws/eks-pod-identity-agent, `pkg/handlers` and `pkg/errors`.

use std::time::Duration;

use hyper::{Method, Response};

use super::assumption::{Assumption, members};
use super::request::{MAX_TOKEN, MetadataRequest};
use crate::error::ApiError;
use crate::response::{json, plain};
use countersign_authority::issuer::{POD_IDENTITY_AUDIENCE, SUBJECT_PREFIX, public_keys};
use countersign_authority::model::{ServiceAccount, Tags};
use countersign_authority::oidc::jwt::{self, TokenError, Validation};
use countersign_authority::store::account_key;

/// Service that the roles have to trust.
const SERVICE: &str = "pods.eks.amazonaws.com";

/// Name of the cluster that all service accounts are in.
const CLUSTER: &str = "countersign";

/// Lifetime of the credentials.
/// Source: "Understand how EKS Pod Identity works" in the EKS user guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// `GET /v1/credentials`
pub(super) fn credentials(request: &MetadataRequest<'_>) -> Response<String> {
    if !request.is(&Method::GET) {
        return plain(405, "Method Not Allowed");
    }
    let Some(token) = request
        .header("authorization")
        .filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
    else {
        return plain(400, "Service account token cannot be empty");
    };
    match exchange(request, token) {
        Ok(answer) => json(200, &answer),
        Err(error) => {
            let fault = if error.status < 500 { "client" } else { "server" };
            plain(error.status, &format!("({}): {}, fault: {fault}", error.code, error.message))
        }
    }
}

/// Pod that a token authenticates.
struct Pod {
    account: std::sync::Arc<ServiceAccount>,
    name: String,
    uid: String,
}

fn exchange(request: &MetadataRequest<'_>, token: &str) -> Result<serde_json::Value, ApiError> {
    let pod = authenticate(request, token)?;
    let role = pod.account.pod_identity_role.clone().ok_or_else(|| {
        // Source: "Errors" of AssumeRoleForPodIdentity.
        let (namespace, name) = (&pod.account.namespace, &pod.account.name);
        ApiError::new(
            "ResourceNotFoundException",
            404,
            &format!("No Pod Identity association found for {namespace}/{name}"),
        )
    })?;
    let account = role.split(':').nth(4).unwrap_or_default().to_owned();
    let partition =
        request.state.accounts.get(&account).map_or("aws", |account| account.partition.as_str());
    let cluster = format!("arn:{partition}:eks:{}:{account}:cluster/{CLUSTER}", request.region);
    let ctx = request.context();
    let assumption = Assumption {
        service: SERVICE,
        role: &role,
        session: &session_name(&pod.name)?,
        lifetime: LIFETIME,
        tags: tags(&pod, &cluster),
        request: vec![("aws:SourceArn", cluster.clone()), ("aws:SourceAccount", account.clone())],
        facts: Vec::new(),
    };
    let (_, credentials) = assumption.make(&ctx).map_err(|error| match error.code {
        // EKS Auth has its own code and status for denials by the trust policy.
        "AccessDenied" => ApiError::new(
            "AccessDeniedException",
            400,
            "Unauthorized Exception! EKS does not have permissions to assume the associated role.",
        ),
        _ => error,
    })?;
    let mut answer = members(&credentials);
    answer.insert("AccountId".to_owned(), account.into());
    Ok(answer.into())
}

/// Returns the service account and pod of a token of the authority's own issuer.
fn authenticate(request: &MetadataRequest<'_>, token: &str) -> Result<Pod, ApiError> {
    let rejected = |error: &TokenError| {
        tracing::info!(%error, "service account token rejected");
        let code = if matches!(error, TokenError::Expired) {
            "ExpiredTokenException"
        } else {
            "InvalidTokenException"
        };
        ApiError::new(code, 400, &format!("The service account token is invalid: {error}"))
    };
    let unverified = jwt::parse(token).map_err(|error| rejected(&error))?;
    let keys = public_keys(&request.state).map_err(|error| ApiError::internal(&error))?;
    let expected = Validation {
        issuer: &request.api.issuer,
        audiences: &[POD_IDENTITY_AUDIENCE],
        now: request.now,
    };
    let claims = unverified.verify(&keys, expected).map_err(|error| rejected(&error))?;
    let unbound = || {
        ApiError::new(
            "InvalidTokenException",
            400,
            "The service account token is not bound to a pod.",
        )
    };
    let (namespace, name) = claims
        .subject
        .strip_prefix(SUBJECT_PREFIX)
        .and_then(|account| account.split_once(':'))
        .ok_or_else(unbound)?;
    // Read only after the signature is verified.
    let pod =
        unverified.claim("kubernetes.io").and_then(|bound| bound.get("pod")).ok_or_else(unbound)?;
    let text = |member: &str| {
        pod.get(member).and_then(serde_json::Value::as_str).map(str::to_owned).ok_or_else(unbound)
    };
    let account =
        request.state.service_accounts.get(&account_key(namespace, name)).ok_or_else(|| {
            ApiError::new(
                "ResourceNotFoundException",
                404,
                &format!("Service account {namespace}/{name} not found"),
            )
        })?;
    Ok(Pod { account: std::sync::Arc::clone(account), name: text("name")?, uid: text("uid")? })
}

/// Source: "Grant Pods access to AWS resources based on tags" in the EKS user guide.
fn tags(pod: &Pod, cluster: &str) -> Tags {
    let pairs = [
        ("eks-cluster-arn", cluster),
        ("eks-cluster-name", CLUSTER),
        ("kubernetes-namespace", &pod.account.namespace),
        ("kubernetes-service-account", &pod.account.name),
        ("kubernetes-pod-name", &pod.name),
        ("kubernetes-pod-uid", &pod.uid),
    ];
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Returns `eks-CLUSTER-POD-UUID`, with the pod's name truncated to fit.
/// Source: `assumeRoleId` in the EKS Auth API reference.
fn session_name(pod: &str) -> Result<String, ApiError> {
    let (id, word) = (countersign_authority::random::uuid()?, |character: &char| {
        character.is_ascii_alphanumeric() || "_+=,.@-".contains(*character)
    });
    let room = 64 - "eks---".len() - CLUSTER.len() - id.len();
    let pod: String = pod.chars().filter(word).take(room).collect();
    Ok(format!("eks-{CLUSTER}-{pod}-{id}"))
}
