//! What STS answers, in the XML that the SDKs parse.

use countersign_core::principal::KeyOwner;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};

/// The namespace of every STS answer.
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// An error as AWS gives it.
#[derive(Debug)]
pub(super) struct ApiError {
    code: &'static str,
    status: u16,
    message: String,
}

impl ApiError {
    pub(super) fn new(code: &'static str, status: u16, message: &str) -> Self {
        Self { code, status, message: message.to_owned() }
    }

    pub(super) fn into_response(self) -> Response<String> {
        let kind = if self.status < 500 { "Sender" } else { "Receiver" };
        let (code, message, id) = (self.code, escaped(&self.message), request_id());
        let xml = format!(
            "<ErrorResponse xmlns=\"{NAMESPACE}\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{code}</Code>\n    \
             <Message>{message}</Message>\n  </Error>\n  <RequestId>{id}</RequestId>\n</ErrorResponse>\n"
        );
        respond(self.status, &id, xml)
    }
}

/// The answer to `GetCallerIdentity`.
pub(super) fn caller_identity(caller: &KeyOwner) -> Response<String> {
    let (arn, unique_id, account, id) = (escaped(caller.arn.as_str()), escaped(&caller.unique_id), &caller.account, request_id());
    let xml = format!(
        "<GetCallerIdentityResponse xmlns=\"{NAMESPACE}\">\n  <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n    \
         <UserId>{unique_id}</UserId>\n    <Account>{account}</Account>\n  </GetCallerIdentityResult>\n  <ResponseMetadata>\n    \
         <RequestId>{id}</RequestId>\n  </ResponseMetadata>\n</GetCallerIdentityResponse>\n"
    );
    respond(200, &id, xml)
}

fn respond(status: u16, id: &str, xml: String) -> Response<String> {
    let mut response = Response::new(xml);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A random UUID (RFC 9562, version 4); all zeros where the system gives no random bytes, for it guards nothing.
fn request_id() -> String {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        bytes = [0; 16];
    }
    let number = u128::from_be_bytes(bytes) & !(0xf000 << 64 | 0xc000 << 48) | (0x4000 << 64) | (0x8000 << 48);
    let hex = format!("{number:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
