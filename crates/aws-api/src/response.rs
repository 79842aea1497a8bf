//! HTTP responses: XML of the query protocol, JSON of the metadata services.

use countersign_authority::random;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

use crate::action::{ActionOutput, Service};
use crate::error::ApiError;
use crate::xml::Xml;

/// Format of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Default; the SDKs parse it.
    Xml,
    /// STS's response to `Accept: application/json`, which verifiers of presigned requests send.
    Json,
}

/// Response of an action that succeeded.
pub(crate) fn success(
    service: &Service,
    action: &str,
    output: &ActionOutput,
    format: Format,
) -> Response<String> {
    let (id, namespace) = (request_id(), service.namespace);
    let mut content = Xml::new();
    match output {
        ActionOutput::Texts(texts) if format == Format::Json => {
            let body = json_texts(action, texts, &id);
            return respond(200, &id, "application/json", body);
        }
        ActionOutput::Texts(texts) => {
            content.element(&format!("{action}Result"), |xml| {
                for (name, text) in texts {
                    xml.leaf(name, text);
                }
            });
        }
        ActionOutput::Result(xml) => {
            content.element(&format!("{action}Result"), |result| {
                result.nest(xml);
            });
        }
        ActionOutput::Empty => {}
    }
    content.element("ResponseMetadata", |xml| {
        xml.leaf("RequestId", &id);
    });
    let content = content.as_str();
    let xml = format!("<{action}Response xmlns=\"{namespace}\">{content}</{action}Response>\n");
    respond(200, &id, "text/xml", xml)
}

fn json_texts(action: &str, texts: &[(&'static str, String)], id: &str) -> String {
    let texts: serde_json::Map<String, serde_json::Value> =
        texts.iter().map(|(name, text)| ((*name).to_owned(), text.as_str().into())).collect();
    let response = serde_json::json!({
        format!("{action}Result"): texts,
        "ResponseMetadata": { "RequestId": id },
    });
    serde_json::json!({ format!("{action}Response"): response }).to_string()
}

/// Error of the query protocol.
pub(crate) fn error(namespace: &str, error: &ApiError) -> Response<String> {
    let id = request_id();
    let mut content = Xml::new();
    content.element("Error", |xml| {
        xml.leaf("Type", if error.status < 500 { "Sender" } else { "Receiver" });
        xml.leaf("Code", error.code).leaf("Message", &error.message);
    });
    content.leaf("RequestId", &id);
    let content = content.as_str();
    let xml = format!("<ErrorResponse xmlns=\"{namespace}\">{content}</ErrorResponse>\n");
    respond(error.status, &id, "text/xml", xml)
}

/// JSON document.
pub(crate) fn json(status: u16, value: &serde_json::Value) -> Response<String> {
    respond(status, &request_id(), "application/json", value.to_string())
}

/// Error of the REST JSON protocol: the SDKs take the code from the header.
pub(crate) fn json_error(error: &ApiError) -> Response<String> {
    let mut response =
        json(error.status, &serde_json::json!({ "__type": error.code, "message": error.message }));
    response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(error.code));
    response
}

/// Error of the Pod Identity agent: a line that begins with the request's id.
pub(crate) fn plain(status: u16, message: &str) -> Response<String> {
    let id = request_id();
    let line = format!("[{id}]: {message}\n");
    respond(status, &id, "text/plain; charset=utf-8", line)
}

/// Text of EC2's metadata.
pub(crate) fn text(status: u16, text: &str) -> Response<String> {
    respond(status, &request_id(), "text/plain", text.to_owned())
}

/// Indented JSON document of EC2's metadata, which are declared as text.
pub(crate) fn pretty(value: &serde_json::Value) -> Response<String> {
    text(200, &format!("{value:#}"))
}

fn respond(status: u16, id: &str, content_type: &'static str, body: String) -> Response<String> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// Returns a random UUID, or zeros if the system has no random bytes: nothing depends on it.
fn request_id() -> String {
    random::uuid().unwrap_or_else(|_| random::uuid_of([0; 16], 4))
}
