//! ECS credentials endpoint: exchanges a container's URL and token for credentials of its task's
//! role.
//!
//! Source: "Container credential provider" in the AWS SDKs and Tools reference; for the form of
//! responses and errors, aws/amazon-ecs-agent, `credentials` handlers.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use hyper::{Method, Response};
use serde_json::json;

use super::assumption::{Assumption, members};
use super::request::{MAX_TOKEN, MetadataRequest};

use crate::error::ApiError;
use crate::response;
use countersign_authority::model::ContainerGrant;

/// Path prefix of the endpoint; the id of a container follows.
pub(super) const CONTAINER_PATH: &str = "/v2/credentials/";

/// Service that the roles have to trust.
const SERVICE: &str = "ecs-tasks.amazonaws.com";

/// Name of the cluster that all containers are in.
const CLUSTER: &str = "countersign";

/// Lifetime of the credentials.
/// Source: "Amazon ECS task IAM role" in the ECS developer guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// `GET /v2/credentials/ID`
pub(super) fn credentials(request: &MetadataRequest<'_>) -> Response<String> {
    let rejection = |error: &ApiError| {
        response::json(
            error.status,
            &json!({ "code": error.code, "message": error.message, "HTTPErrorCode": error.status }),
        )
    };
    if !request.is(&Method::GET) {
        return rejection(&ApiError::new("MethodNotAllowed", 405, "Method not allowed: use GET."));
    }
    match exchange(request) {
        Ok(value) => response::json(200, &value),
        Err(error) => rejection(&error),
    }
}

fn exchange(request: &MetadataRequest<'_>) -> Result<serde_json::Value, ApiError> {
    let grant = grant(request)?;
    let account = grant.role.split(':').nth(4).unwrap_or_default();
    let partition =
        request.state.accounts.get(account).map_or("aws", |account| account.partition.as_str());
    let source = format!("arn:{partition}:ecs:{}:{account}:cluster/{CLUSTER}", request.region);
    let assumption = Assumption {
        service: SERVICE,
        role: &grant.role,
        session: &grant.id,
        lifetime: LIFETIME,
        tags: Default::default(),
        request: vec![("aws:SourceArn", source), ("aws:SourceAccount", account.to_owned())],
        facts: Vec::new(),
    };
    let (_, credentials) =
        assumption.make(&request.context()).map_err(|error| match error.code {
            "AccessDenied" => ApiError::new(
                "AccessDenied",
                403,
                &format!("{SERVICE} cannot assume the role {}.", grant.role),
            ),
            _ => error,
        })?;
    let mut value = members(&credentials);
    value.insert("RoleArn".to_owned(), grant.role.clone().into());
    value.insert("AccountId".to_owned(), account.into());
    Ok(value.into())
}

/// Returns the grant of the container that the path and the token identify.
fn grant(request: &MetadataRequest<'_>) -> Result<Arc<ContainerGrant>, ApiError> {
    let id = request.received.head.uri.path().strip_prefix(CONTAINER_PATH).unwrap_or_default();
    if id.is_empty() {
        return Err(ApiError::new(
            "NoIdInRequest",
            400,
            "CredentialsV2Request: No ID in the request",
        ));
    }
    let token = request
        .header("authorization")
        .filter(|token| token.len() <= MAX_TOKEN)
        .unwrap_or_default();
    let grant = request.state.containers.get(id);
    // An unknown id takes the same time and gets the same response, so that ids cannot be probed.
    let expected = grant.map_or("", |grant| grant.token.as_str());
    let same = verify_slices_are_equal(expected.as_bytes(), token.as_bytes()).is_ok();
    grant.filter(|_| same && !expected.is_empty()).cloned().ok_or_else(|| {
        ApiError::new(
            "InvalidIdInRequest",
            400,
            "CredentialsV2Request: No credentials with this ID for this authorization token",
        )
    })
}
