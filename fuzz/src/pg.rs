//! PostgreSQL's logins from both sides, and the session after them.

use std::sync::{Arc, LazyLock};

use countersign_core::credentials::Secret;
use countersign_wire::exchange::ClientTlsMode;
use countersign_wire::pg::client::{self, ClientLogin};
use countersign_wire::pg::server::{self, AuthMethod, ScramVerifier, ServerLogin, StartupRequest};
use countersign_wire::pg::stream::{BackendTracker, ForwardPlan, FrontendTracker};
use countersign_wire::pg::{StartupParams, codec};

use crate::exchange::{client_tls_mode, credential, play, transport_security};

/// Verifier of a password, shared because its derivation is slow.
static VERIFIER: LazyLock<Option<Arc<ScramVerifier>>> =
    LazyLock::new(|| ScramVerifier::new(&Secret::new("password")?).ok().map(Arc::new));

/// Bytes of a client. The first byte chooses the configuration and the size of the pieces.
pub fn pg_server(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let tls = client_tls_mode(*choice);
    let requires_password = choice / 3 % 2 == 1;
    let auth = match &*VERIFIER {
        Some(verifier) if requires_password => AuthMethod::Password(Arc::clone(verifier)),
        _ => AuthMethod::Trust,
    };
    let login = ServerLogin::new(server::ServerConfig { tls, auth });
    let played = play(login, data, usize::from(choice / 6) + 1);
    assert!(played.sent.len() < 64 * 1024, "the server sent too much");
    if let Some(Ok(StartupRequest::Login(params))) = played.result {
        assert!(!requires_password, "a login succeeded without the password");
        assert!(
            tls != ClientTlsMode::Required || played.is_secure,
            "a login succeeded without TLS"
        );
        assert!(
            !params.user.is_empty() && matches!(params.minor, 0 | 2),
            "a login has no user or an unknown version"
        );
        let trust = server::ServerConfig { tls: ClientTlsMode::Off, auth: AuthMethod::Trust };
        let again = play(ServerLogin::new(trust), &params.encode(), usize::MAX).result;
        assert!(
            matches!(again, Some(Ok(StartupRequest::Login(again))) if again == params),
            "encoded parameters are parsed differently"
        );
    }
}

/// Bytes of a server. The first byte chooses the configuration and the size of the pieces.
pub fn pg_client(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let security = transport_security(*choice);
    let startup =
        StartupParams { minor: 2, user: "jane".to_owned(), database: None, parameters: Vec::new() };
    let credential = credential(choice / 3);
    let login = ClientLogin::new(client::ClientConfig { startup, security, credential });
    let played = play(login, data, usize::from(choice / 6) + 1);
    played.assert_token_is_secret(security, data);
    if let Some(Ok(session)) = played.result {
        assert!(
            session.notices.len() <= 64 * 1024 && session.parameters.len() <= 256,
            "a session exceeds its limits"
        );
    }
}

/// Bytes of both sides after the login: splitting them changes nothing.
pub fn pg_stream(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let size = usize::from(*size) + 1;
    let (mut whole, mut split) = (FrontendTracker::default(), FrontendTracker::default());
    let forwarded = |tracker: &mut FrontendTracker, piece: &[u8]| match tracker.observe(piece) {
        ForwardPlan::All => piece.len(),
        ForwardPlan::Until(end) => {
            assert!(end <= piece.len(), "more bytes are forwarded than there are");
            end
        }
    };
    let at_once = forwarded(&mut whole, data);
    let in_pieces: usize = data.chunks(size).map(|piece| forwarded(&mut split, piece)).sum();
    assert_eq!(
        (at_once, whole.expected_ready()),
        (in_pieces, split.expected_ready()),
        "splitting the client's bytes changes the result"
    );
    let (mut whole, mut split) = (BackendTracker::default(), BackendTracker::default());
    whole.observe(data);
    data.chunks(size).for_each(|piece| split.observe(piece));
    assert_eq!(
        (whole.received_ready(), whole.status()),
        (split.received_ready(), split.status()),
        "splitting the server's bytes changes the result"
    );
    let _fields = codec::error_fields(&codec::with_explanation(data, "detail", "hint"));
}
