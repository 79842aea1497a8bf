//! The EKS Pod Identity agent: a pod's service account token for the credentials of the role that is associated with the account.
//!
//! Source: "Learn how EKS Pod Identity grants pods access to AWS services" in the EKS user guide, AssumeRoleForPodIdentity in the EKS
//! Auth API reference, and aws/eks-pod-identity-agent, `pkg/handlers` and `pkg/errors`, for the form of answers and errors.

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

/// What roles have to trust.
const SERVICE: &str = "pods.eks.amazonaws.com";

/// The one cluster that the issuer's service accounts are in.
const CLUSTER: &str = "countersign";

/// How long the credentials last. Source: "Understand how EKS Pod Identity works" in the EKS user guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// `GET /v1/credentials`
pub(super) fn credentials(visit: &MetadataRequest<'_>) -> Response<String> {
    if !visit.is(&Method::GET) {
        return plain(405, "Method Not Allowed");
    }
    let Some(token) =
        visit.header("authorization").filter(|token| !token.is_empty() && token.len() <= MAX_TOKEN)
    else {
        return plain(400, "Service account token cannot be empty");
    };
    match exchange(visit, token) {
        Ok(answer) => json(200, &answer),
        Err(error) => {
            let fault = if error.status < 500 { "client" } else { "server" };
            plain(error.status, &format!("({}): {}, fault: {fault}", error.code, error.message))
        }
    }
}

/// A pod, as its token proves it.
struct Pod {
    account: std::sync::Arc<ServiceAccount>,
    name: String,
    uid: String,
}

fn exchange(visit: &MetadataRequest<'_>, token: &str) -> Result<serde_json::Value, ApiError> {
    let pod = prove(visit, token)?;
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
        visit.state.accounts.get(&account).map_or("aws", |account| account.partition.as_str());
    let cluster = format!("arn:{partition}:eks:{}:{account}:cluster/{CLUSTER}", visit.region);
    let call = visit.context();
    let assumption = Assumption {
        service: SERVICE,
        role: &role,
        session: &session_name(&pod.name)?,
        lifetime: LIFETIME,
        tags: tags(&pod, &cluster),
        request: vec![("aws:SourceArn", cluster.clone()), ("aws:SourceAccount", account.clone())],
        facts: Vec::new(),
    };
    let (_, credentials) = assumption.make(&call).map_err(|error| match error.code {
        // EKS Auth has its own name, and status, for what the trust policy refuses.
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

/// The service account and pod that a token of the authority's own issuer names.
fn prove(visit: &MetadataRequest<'_>, token: &str) -> Result<Pod, ApiError> {
    let refused = |error: &TokenError| {
        tracing::info!(%error, "a pod's token was refused");
        let code = if matches!(error, TokenError::Expired) {
            "ExpiredTokenException"
        } else {
            "InvalidTokenException"
        };
        ApiError::new(code, 400, &format!("The service account token was refused: {error}"))
    };
    let unverified = jwt::parse(token).map_err(|error| refused(&error))?;
    let keys = public_keys(&visit.state).map_err(|error| ApiError::internal(&error))?;
    let expected = Validation {
        issuer: &visit.api.issuer,
        audiences: &[POD_IDENTITY_AUDIENCE],
        now: visit.now,
    };
    let claims = unverified.verify(&keys, expected).map_err(|error| refused(&error))?;
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
    // Looked at once the signature has been.
    let pod =
        unverified.claim("kubernetes.io").and_then(|bound| bound.get("pod")).ok_or_else(unbound)?;
    let text = |member: &str| {
        pod.get(member).and_then(serde_json::Value::as_str).map(str::to_owned).ok_or_else(unbound)
    };
    let account =
        visit.state.service_accounts.get(&account_key(namespace, name)).ok_or_else(|| {
            ApiError::new(
                "ResourceNotFoundException",
                404,
                &format!("There is no service account {namespace}/{name}"),
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

/// `eks-CLUSTER-POD-UUID`, of which the pod's name gives way. Source: `assumeRoleId` in the EKS Auth API reference.
fn session_name(pod: &str) -> Result<String, ApiError> {
    let (id, word) = (countersign_authority::random::uuid()?, |character: &char| {
        character.is_ascii_alphanumeric() || "_+=,.@-".contains(*character)
    });
    let room = 64 - "eks---".len() - CLUSTER.len() - id.len();
    let pod: String = pod.chars().filter(word).take(room).collect();
    Ok(format!("eks-{CLUSTER}-{pod}-{id}"))
}
