//! Fixtures: an API with a store of its own, and signed requests to it.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::AccountId;
use countersign_core::region::Partition;
use countersign_core::sigv4::{Identity as Signing, Normalization, Payload, Request, Signer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::Api;
use crate::http::serve;
use countersign_authority::issuer::DEFAULT_URL;
use countersign_authority::log::AccessLog;
use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::oidc::fetch::Fetcher;
use countersign_authority::store::{NewIdentity, Store};
use countersign_authority::verifier::{ContextKeys, Verifier, VerifierConfig};

/// Policy that allows everything.
pub(crate) const ADMINISTRATOR: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;

/// Returns a policy that allows the action on the resource.
pub(crate) fn allow(action: &str, resource: &str) -> String {
    let statement = serde_json::json!({"Effect": "Allow", "Action": action, "Resource": resource});
    serde_json::json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// Asserts that the response has the status and the code of an error.
pub(crate) fn assert_error(answer: &(u16, String), status: u16, code: &str) {
    assert!(
        answer.0 == status && answer.1.contains(&format!("<Code>{code}</Code>")),
        "expected {status} {code}: {answer:?}"
    );
}

/// API that serves requests.
pub(crate) struct Served {
    pub(crate) _directory: TempDir,
    pub(crate) api: Arc<Api>,
    pub(crate) address: String,
}

/// Account of all records.
pub(crate) fn account() -> AccountId {
    "123456789012".parse().unwrap()
}

impl Served {
    pub(crate) async fn new() -> Self {
        Self::adjusted(|api| api).await
    }

    /// Creates an API that `adjust` changes before it serves.
    pub(crate) async fn adjusted(adjust: impl FnOnce(Api) -> Api) -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(directory.path()).unwrap();
        store.ensure_account(&account(), Partition::Aws).unwrap();
        let log = AccessLog::open(directory.path()).unwrap();
        let verifier = Arc::new(Verifier::new(
            store,
            log,
            VerifierConfig { limit: None, context_keys: ContextKeys::AsRds },
        ));
        let api = Arc::new(adjust(Api::new(verifier, Fetcher::new(&[]).unwrap(), DEFAULT_URL)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(serve(listener, Arc::clone(&api)));
        Self { _directory: directory, api, address }
    }

    /// Creates a user with a key and, if given, a policy.
    pub(crate) fn user(&self, name: &str, policy: Option<&str>) -> Credentials {
        let identity = Identity::new(account(), IdentityKind::User, name).unwrap();
        let new = NewIdentity {
            identity: &identity,
            trust: None,
            policy: policy.map(|document| ("policy", document)),
        };
        self.api.store().create_identity(&new, SystemTime::now()).unwrap().unwrap()
    }

    /// Creates a role.
    pub(crate) fn role(&self, name: &str, trust: &str, policy: Option<&str>) {
        let identity = Identity::new(account(), IdentityKind::Role, name).unwrap();
        let new = NewIdentity {
            identity: &identity,
            trust: Some(trust),
            policy: policy.map(|document| ("policy", document)),
        };
        self.api.store().create_identity(&new, SystemTime::now()).unwrap();
    }

    /// Sends `form` (`Action=…&…`) to `service`, signed by `key`; returns status and body.
    pub(crate) async fn call(&self, service: &str, key: &Credentials, form: &str) -> (u16, String) {
        let version = match service {
            "sts" => "2011-06-15",
            "iam" => "2010-05-08",
            _ => "2014-10-31",
        };
        let body = format!("{form}&Version={version}");
        let headers = [
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
            ("host", self.address.as_str()),
        ];
        let payload = Payload::Body(body.as_bytes());
        let request = Request { method: "POST", path: "/", query: "", headers: &headers, payload };
        let now = SystemTime::now();
        let (identity, normalization) = (Signing::Whole(key), Normalization::Rfc3986);
        let added = Signer { identity, region: "us-east-1", service, normalization, now }
            .sign_by_header(&request)
            .unwrap();
        let lines = headers
            .iter()
            .copied()
            .chain(added.iter().map(|(name, value)| (*name, value.as_str())));
        let lines: String = lines.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        self.raw(&format!(
            "POST / HTTP/1.1\r\n{lines}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Sends `body` without a signature.
    pub(crate) async fn unsigned(&self, body: &str) -> (u16, String) {
        let head =
            "content-type: application/x-www-form-urlencoded\r\nhost: x\r\nconnection: close";
        self.raw(&format!(
            "POST / HTTP/1.1\r\n{head}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await
    }

    /// Sends a request unchanged, which must contain `connection: close`; returns status and
    /// response.
    pub(crate) async fn raw(&self, request: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
    }
}

/// Returns the text of the first element of a name.
pub(crate) fn text<'a>(answer: &'a str, element: &str) -> &'a str {
    let (_, rest) = answer
        .split_once(&format!("<{element}>"))
        .unwrap_or_else(|| panic!("no {element} in {answer}"));
    rest.split_once("</").unwrap().0
}

/// Returns the credentials in a response.
pub(crate) fn credentials(answer: &str) -> Credentials {
    Credentials {
        access_key_id: text(answer, "AccessKeyId").parse().unwrap(),
        secret: Secret::new(text(answer, "SecretAccessKey")).unwrap(),
        session_token: Secret::new(text(answer, "SessionToken")),
        expires: None,
    }
}

/// Encodes `text` as a value of a form.
pub(crate) fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
