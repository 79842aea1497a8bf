//! From a request to the service and action that it means.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::region::Region;
use countersign_core::sigv4::{Payload, Request};
use hyper::http::request::Parts;
use hyper::{Response, header};

use super::Api;
use super::action::{Action, ActionOutput, Effect, Service, Signature};
use super::answer::{self, Form};
use super::call::{RequestContext, Source};
use super::error::ApiError;
use super::iam::IAM;
use super::metadata;
use super::parameters::Parameters;
use super::rds::RDS;
use super::signature::{self, Signed};
use super::sts::STS;
use countersign_authority::session::{Session, Subject};

/// Every service of the query protocol.
pub(super) const SERVICES: [&Service; 3] = [&STS, &IAM, &RDS];

/// A request, received whole.
pub(super) struct Received {
    pub(super) head: Parts,
    pub(super) body: Vec<u8>,
    pub(super) peer: SocketAddr,
}

/// Answers a request. What may have to wait does so on a thread of its own.
pub(super) async fn respond(api: Arc<Api>, received: Received) -> Response<String> {
    if let Some(response) = metadata::respond(&api, &received) {
        return response;
    }
    let effect = parameters(&received)
        .ok()
        .and_then(|parameters| find(&parameters))
        .map(|(_, action)| action.effect);
    if effect != Some(Effect::Waits) {
        return act(&api, &received);
    }
    match tokio::task::spawn_blocking(move || act(&api, &received)).await {
        Ok(response) => response,
        Err(error) => answer::refused(STS.namespace, &ApiError::internal(&error)),
    }
}

/// The service and action that the parameters name; the first service whose version it is.
fn find(parameters: &Parameters) -> Option<(&'static Service, &'static Action)> {
    let (name, version) = (parameters.text("Action")?, parameters.text("Version")?);
    let mut services = SERVICES.into_iter().filter(|service| service.version == version);
    services.find_map(|service| Some((service, service.action(name)?)))
}

fn parameters(received: &Received) -> Result<Parameters, ApiError> {
    let form = received
        .head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    let query = received.head.uri.query().unwrap_or_default();
    let parameters = Parameters::parse(if form { &received.body } else { query.as_bytes() })?;
    if form && query.contains("Action=") {
        return Err(ApiError::new(
            "MalformedQueryString",
            404,
            "The parameters are in the query and in the body.",
        ));
    }
    Ok(parameters)
}

fn act(api: &Api, received: &Received) -> Response<String> {
    let parameters = match parameters(received) {
        Ok(parameters) => parameters,
        Err(error) => return answer::refused(STS.namespace, &error),
    };
    let found = find(&parameters);
    let namespace = found.map_or(STS.namespace, |(service, _)| service.namespace);
    match authenticate_and_run(api, received, &parameters, found) {
        Ok((service, action, answer)) => {
            answer::answered(service, action.name, &answer, form(received))
        }
        Err(error) => answer::refused(namespace, &error),
    }
}

/// JSON where the caller takes nothing else.
fn form(received: &Received) -> Form {
    let accepted = received.head.headers.get(header::ACCEPT).map(header::HeaderValue::as_bytes);
    if accepted == Some(b"application/json") { Form::Json } else { Form::Xml }
}

type Found = (&'static Service, &'static Action);

fn authenticate_and_run(
    api: &Api,
    received: &Received,
    parameters: &Parameters,
    found: Option<Found>,
) -> Result<(&'static Service, &'static Action, ActionOutput), ApiError> {
    let now = SystemTime::now();
    let state = api.store().state()?;
    let signed = match found {
        Some((_, Action { signature: Signature::Unused, .. })) => None,
        _ => Some(authenticate(api, &state, received, found.map(|(service, _)| service), now)?),
    };
    let (service, action) = found.ok_or_else(|| unknown(parameters))?;
    if let Some(Session { subject, .. }) =
        signed.as_ref().and_then(|signed| signed.holder.session.as_ref())
    {
        check_session(subject, service, action)?;
    }
    if let Some(name) =
        parameters.names().into_iter().find(|name| !action.parameters.contains(name))
    {
        return Err(service.unknown_parameter(action.name, name));
    }
    let text = |name: header::HeaderName| {
        received.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let (address, global) =
        (received.peer.ip().to_canonical().to_string(), "us-east-1".parse::<Region>()?);
    let call = RequestContext {
        api,
        state,
        holder: signed.as_ref().map(|signed| &signed.holder),
        parameters,
        region: signed.as_ref().map_or(&global, |signed| &signed.region),
        source: Source { address: &address, agent: text(header::USER_AGENT) },
        now,
    };
    Ok((service, action, (action.run)(&call)?))
}

/// What sessions of a user may not call, whatever its policies say: IAM, since they came without a second factor, and of STS
/// only what asks who they are and, where they are the user's own, AssumeRole.
/// Source: "Compare AWS STS credentials" in the IAM user guide.
fn check_session(subject: &Subject, service: &Service, action: &Action) -> Result<(), ApiError> {
    let may = match (subject, service.name, action.name) {
        (Subject::Role { .. }, _, _)
        | (_, "sts", "GetCallerIdentity")
        | (Subject::User { .. }, "sts", "AssumeRole") => true,
        (_, "iam" | "sts", _) => false,
        _ => true,
    };
    let refused = || {
        ApiError::new(
            "InvalidClientTokenId",
            403,
            "The security token included in the request is invalid.",
        )
    };
    if may { Ok(()) } else { Err(refused()) }
}

/// Whoever signed; for the service that the request means or, where that is not known, for the one that it was signed for.
fn authenticate(
    api: &Api,
    state: &countersign_authority::store::State,
    received: &Received,
    service: Option<&Service>,
    now: SystemTime,
) -> Result<Signed, ApiError> {
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

/// The error for an action that is not there.
fn unknown(parameters: &Parameters) -> ApiError {
    match (parameters.text("Action"), parameters.text("Version")) {
        (None, _) => ApiError::new(
            "MissingAction",
            400,
            "The request is missing an action or a required parameter.",
        ),
        (Some(action), version) => {
            let version = version.unwrap_or("NO_VERSION_SPECIFIED");
            ApiError::new(
                "InvalidAction",
                400,
                &format!("Could not find operation {action} for version {version}"),
            )
        }
    }
}
