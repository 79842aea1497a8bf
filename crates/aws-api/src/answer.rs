//! HTTP answers: XML of the query protocol, and JSON of the rest.

use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use super::action::{ActionOutput, Service};
use super::error::ApiError;
use super::xml::Xml;
use countersign_authority::random;

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// What the SDKs parse.
    Xml,
    /// What STS gives to whoever asks for it by `Accept: application/json`, as verifiers of proofs do.
    Json,
}

/// The answer of an action.
pub(super) fn answered(
    service: &Service,
    action: &str,
    answer: &ActionOutput,
    form: Form,
) -> Response<String> {
    let (id, namespace) = (request_id(), service.namespace);
    let result = match answer {
        ActionOutput::Texts(texts) if form == Form::Json => {
            let texts: serde_json::Map<String, serde_json::Value> = texts
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_str().into()))
                .collect();
            let (result, metadata) =
                (format!("{action}Result"), serde_json::json!({ "RequestId": id }));
            let inside = serde_json::json!({ result: texts, "ResponseMetadata": metadata });
            return respond(
                200,
                &id,
                "application/json",
                serde_json::json!({ format!("{action}Response"): inside }).to_string(),
            );
        }
        ActionOutput::Texts(texts) => {
            let mut xml = Xml::new();
            for (name, text) in texts {
                xml.leaf(name, text);
            }
            format!("<{action}Result>{}</{action}Result>", xml.as_str())
        }
        ActionOutput::Result(xml) => format!("<{action}Result>{}</{action}Result>", xml.as_str()),
        ActionOutput::Done => String::new(),
    };
    let xml = format!(
        "<{action}Response xmlns=\"{namespace}\">{result}<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{action}Response>\n"
    );
    respond(200, &id, "text/xml", xml)
}

/// An error of the query protocol.
pub(super) fn refused(namespace: &str, error: &ApiError) -> Response<String> {
    let id = request_id();
    let mut inside = Xml::new();
    inside.element("Error", |xml| {
        xml.leaf("Type", if error.status < 500 { "Sender" } else { "Receiver" });
        xml.leaf("Code", error.code).leaf("Message", &error.message);
    });
    let xml = format!(
        "<ErrorResponse xmlns=\"{namespace}\">{}<RequestId>{id}</RequestId></ErrorResponse>\n",
        inside.as_str()
    );
    respond(error.status, &id, "text/xml", xml)
}

/// A JSON document.
pub(super) fn json(status: u16, value: &serde_json::Value) -> Response<String> {
    respond(status, &request_id(), "application/json", value.to_string())
}

/// An error of the REST JSON protocol: the SDKs take the code from the header.
pub(super) fn json_error(error: &ApiError) -> Response<String> {
    let mut response =
        json(error.status, &serde_json::json!({ "__type": error.code, "message": error.message }));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error.code));
    response
}

/// An error of the Pod Identity agent: a line that begins with the request's id.
pub(super) fn plain(status: u16, message: &str) -> Response<String> {
    let id = request_id();
    let line = format!("[{id}]: {message}\n");
    respond(status, &id, "text/plain; charset=utf-8", line)
}

/// A text, as EC2's metadata are.
pub(super) fn text(status: u16, text: &str) -> Response<String> {
    respond(status, &request_id(), "text/plain", text.to_owned())
}

/// A JSON document, for people to read too: EC2's metadata are declared as text.
pub(super) fn pretty(value: &serde_json::Value) -> Response<String> {
    text(200, &format!("{value:#}"))
}

fn respond(status: u16, id: &str, kind: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A random UUID; all zeros where the system gives no random bytes, for it guards nothing.
fn request_id() -> String {
    random::uuid().unwrap_or_else(|_| random::uuid_of([0; 16], 4))
}
