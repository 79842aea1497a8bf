//! The credentials endpoint of ECS: a container's own URL and token for the credentials of its task's role.
//!
//! Source: "Container credential provider" in the AWS SDKs and Tools reference; aws/amazon-ecs-agent, `credentials` handlers, for the
//! form of answers and errors.

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

/// The one cluster that containers are in.
const CLUSTER: &str = "countersign";

/// How long the credentials last. Source: "Amazon ECS task IAM role" in the ECS developer guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// `GET /v2/credentials/ID`
pub(super) fn credentials(visit: &MetadataRequest<'_>) -> Response<String> {
    let refused = |error: &ApiError| {
        response::json(
            error.status,
            &json!({ "code": error.code, "message": error.message, "HTTPErrorCode": error.status }),
        )
    };
    if !visit.is(&Method::GET) {
        return refused(&ApiError::new(
            "MethodNotAllowed",
            405,
            "Credentials are to be had by GET.",
        ));
    }
    match exchange(visit) {
        Ok(value) => response::json(200, &value),
        Err(error) => refused(&error),
    }
}

fn exchange(visit: &MetadataRequest<'_>) -> Result<serde_json::Value, ApiError> {
    let grant = grant(visit)?;
    let account = grant.role.split(':').nth(4).unwrap_or_default();
    let partition =
        visit.state.accounts.get(account).map_or("aws", |account| account.partition.as_str());
    let source = format!("arn:{partition}:ecs:{}:{account}:cluster/{CLUSTER}", visit.region);
    let assumption = Assumption {
        service: SERVICE,
        role: &grant.role,
        session: &grant.id,
        lifetime: LIFETIME,
        tags: Default::default(),
        request: vec![("aws:SourceArn", source), ("aws:SourceAccount", account.to_owned())],
        facts: Vec::new(),
    };
    let (_, credentials) = assumption.make(&visit.context()).map_err(|error| match error.code {
        "AccessDenied" => ApiError::new(
            "AccessDenied",
            403,
            &format!("{SERVICE} can't assume the role {}.", grant.role),
        ),
        _ => error,
    })?;
    let mut value = members(&credentials);
    value.insert("RoleArn".to_owned(), grant.role.clone().into());
    value.insert("AccountId".to_owned(), account.into());
    Ok(value.into())
}

/// What the container has a right to, by the end of the URL and the token.
fn grant(visit: &MetadataRequest<'_>) -> Result<Arc<ContainerGrant>, ApiError> {
    let id = visit.received.head.uri.path().strip_prefix(CONTAINER_PATH).unwrap_or_default();
    if id.is_empty() {
        return Err(ApiError::new(
            "NoIdInRequest",
            400,
            "CredentialsV2Request: No ID in the request",
        ));
    }
    let token =
        visit.header("authorization").filter(|token| token.len() <= MAX_TOKEN).unwrap_or_default();
    let grant = visit.state.containers.get(id);
    // Where there is no such container the same work is done, and the same is said: nobody learns ids by asking.
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
