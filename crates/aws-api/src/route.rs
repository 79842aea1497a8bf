//! Dispatch of requests to services and actions.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_authority::session::{Session, Subject};
use countersign_authority::store::State;
use countersign_core::region::Region;
use countersign_core::sigv4::{Payload, Request};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT};
use hyper::{HeaderMap, Response};

use crate::action::{Action, ActionOutput, Execution, Service, Signature};
use crate::api::Api;
use crate::context::{ReceivedRequest, RequestContext, Source};
use crate::error::ApiError;
use crate::iam::IAM;
use crate::metadata;
use crate::parameters::Parameters;
use crate::rds::RDS;
use crate::response::{self, Format};
use crate::signature::{self, Authenticated};
use crate::sts::STS;

/// Services of the query protocol.
pub(crate) const SERVICES: [&Service; 3] = [&STS, &IAM, &RDS];

/// Answers a request; a blocking action runs on a thread of its own.
pub(crate) async fn respond(api: Arc<Api>, received: ReceivedRequest) -> Response<String> {
    if let Some(response) = metadata::respond(&api, &received) {
        return response;
    }
    let parameters = match parse_parameters(&received) {
        Ok(parameters) => parameters,
        Err(error) => return response::error(STS.namespace, &error),
    };
    let target = find(&parameters);
    let run = move || run(&api, &received, &parameters, target);
    if target.is_none_or(|(_, action)| action.execution == Execution::Inline) {
        return run();
    }
    tokio::task::spawn_blocking(run)
        .await
        .unwrap_or_else(|error| response::error(STS.namespace, &ApiError::internal(&error)))
}

type ServiceAction = (&'static Service, &'static Action);

/// Returns the service and action that the parameters name: the first match among the services
/// of that version.
fn find(parameters: &Parameters) -> Option<ServiceAction> {
    let (name, version) = (parameters.text("Action")?, parameters.text("Version")?);
    let mut services = SERVICES.into_iter().filter(|service| service.version == version);
    services.find_map(|service| Some((service, service.action(name)?)))
}

fn parse_parameters(received: &ReceivedRequest) -> Result<Parameters, ApiError> {
    let content_type = received.head.headers.get(CONTENT_TYPE);
    let is_form = content_type
        .is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let query = received.head.uri.query().unwrap_or_default();
    let parameters = Parameters::parse(if is_form { &received.body } else { query.as_bytes() })?;
    if is_form && query.contains("Action=") {
        return Err(ApiError::new(
            "MalformedQueryString",
            404,
            "Parameters are present in both the query string and the body.",
        ));
    }
    Ok(parameters)
}

fn run(
    api: &Api,
    received: &ReceivedRequest,
    parameters: &Parameters,
    target: Option<ServiceAction>,
) -> Response<String> {
    match authenticate_and_run(api, received, parameters, target) {
        Ok((service, action, output)) => {
            response::success(service, action.name, &output, format(&received.head.headers))
        }
        Err(error) => {
            let namespace = target.map_or(STS.namespace, |(service, _)| service.namespace);
            response::error(namespace, &error)
        }
    }
}

/// Returns JSON if the client accepts nothing else.
fn format(headers: &HeaderMap) -> Format {
    match headers.get(ACCEPT) {
        Some(accept) if accept == "application/json" => Format::Json,
        _ => Format::Xml,
    }
}

fn authenticate_and_run(
    api: &Api,
    received: &ReceivedRequest,
    parameters: &Parameters,
    target: Option<ServiceAction>,
) -> Result<(&'static Service, &'static Action, ActionOutput), ApiError> {
    let now = SystemTime::now();
    let state = api.store().state()?;
    let caller = match target {
        Some((_, Action { signature: Signature::Unused, .. })) => None,
        _ => Some(authenticate(api, &state, received, target.map(|(service, _)| service), now)?),
    };
    // Callers without a valid signature do not learn which actions and parameters exist.
    let (service, action) = target.ok_or_else(|| unknown_action(parameters))?;
    let session = caller.as_ref().and_then(|caller| caller.identity.session.as_ref());
    if let Some(Session { subject, .. }) = session {
        check_session(subject, service, action)?;
    }
    let mut names = parameters.names().into_iter();
    if let Some(name) = names.find(|name| !action.parameters.contains(name)) {
        return Err(service.unknown_parameter(action.name, name));
    }
    let header = |name: HeaderName| {
        received.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let address = received.peer.ip().to_canonical().to_string();
    let default_region = "us-east-1".parse::<Region>()?;
    let context = RequestContext {
        api,
        state,
        identity: caller.as_ref().map(|caller| &caller.identity),
        parameters,
        region: caller.as_ref().map_or(&default_region, |caller| &caller.region),
        source: Source { address: &address, agent: header(USER_AGENT) },
        now,
    };
    Ok((service, action, (action.run)(&context)?))
}

/// Rejects actions that no policy can allow to sessions of a user: all of IAM, since the session
/// was obtained without MFA, and all of STS except `GetCallerIdentity` and, for the user's own
/// sessions, `AssumeRole`.
/// Source: "Compare AWS STS credentials" in the IAM user guide.
fn check_session(subject: &Subject, service: &Service, action: &Action) -> Result<(), ApiError> {
    match (subject, service.name, action.name) {
        (Subject::Role { .. }, _, _)
        | (_, "sts", "GetCallerIdentity")
        | (Subject::User { .. }, "sts", "AssumeRole") => Ok(()),
        (_, "iam" | "sts", _) => Err(ApiError::invalid_token()),
        _ => Ok(()),
    }
}

/// Authenticates the caller for `service`; if the action is unknown, for the service that the
/// request is signed for.
fn authenticate(
    api: &Api,
    state: &State,
    received: &ReceivedRequest,
    service: Option<&Service>,
    now: SystemTime,
) -> Result<Authenticated, ApiError> {
    let head = &received.head;
    let headers: Vec<(&str, &str)> = head
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
        .collect();
    let request = Request {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &headers,
        payload: Payload::Body(&received.body),
    };
    let signed = signature::parse(&request)?;
    let service =
        service.map_or_else(|| signed.service().to_owned(), |service| service.name.to_owned());
    signature::verify(api, state, &request, &signed, &service, now)
}

fn unknown_action(parameters: &Parameters) -> ApiError {
    let Some(action) = parameters.text("Action") else {
        return ApiError::new(
            "MissingAction",
            400,
            "The request is missing an action or a required parameter.",
        );
    };
    let version = parameters.text("Version").unwrap_or("NO_VERSION_SPECIFIED");
    ApiError::new(
        "InvalidAction",
        400,
        &format!("Could not find operation {action} for version {version}"),
    )
}
