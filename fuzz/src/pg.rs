//! PostgreSQL's logins, from both sides, and the session remaining them.

use std::sync::{Arc, LazyLock};

use countersign_core::credentials::Secret;
use countersign_wire::exchange::{ClientTlsMode, Credential, TransportSecurity};
use countersign_wire::pg::client::{self, ChannelBinding, ClientLogin};
use countersign_wire::pg::server::{self, AuthMethod, ScramVerifier, ServerLogin, StartupRequest};
use countersign_wire::pg::stream::{BackendTracker, ForwardPlan, FrontendTracker};
use countersign_wire::pg::{StartupParams, codec};
use zeroize::Zeroizing;

use crate::exchange::play;

const TOKEN: &str = "token-that-nobody-reads-along";

/// It is slow to make.
static VERIFIER: LazyLock<Option<Arc<ScramVerifier>>> =
    LazyLock::new(|| ScramVerifier::new(&Secret::new("password")?).ok().map(Arc::new));

/// What a client, or whoever reaches the port, says. The first byte chooses the config and the size of the pieces.
pub fn pg_login(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let tls = [ClientTlsMode::Off, ClientTlsMode::Offered, ClientTlsMode::Required]
        .into_iter()
        .cycle()
        .nth(usize::from(choice % 3))
        .unwrap_or(ClientTlsMode::Off);
    let guarded = choice / 3 % 2 == 1;
    let ask = match &*VERIFIER {
        Some(verifier) if guarded => AuthMethod::Password(Arc::clone(verifier)),
        _ => AuthMethod::Trust,
    };
    let played = play(
        ServerLogin::new(server::ServerConfig { tls, ask }),
        data,
        usize::from(choice / 6) + 1,
    );
    assert!(played.sent.len() < 64 * 1024, "a stranger is told a great deal");
    if let Some(Ok(StartupRequest::Login(startup))) = played.result {
        assert!(!guarded, "somebody is let in without the password");
        assert!(
            tls != ClientTlsMode::Required || played.is_secure,
            "somebody is let in without TLS"
        );
        assert!(
            !startup.user.is_empty() && matches!(startup.minor, 0 | 2),
            "a session is opened for nobody"
        );
        let again = play(
            ServerLogin::new(server::ServerConfig {
                tls: ClientTlsMode::Off,
                ask: AuthMethod::Trust,
            }),
            &startup.encode(),
            usize::MAX,
        )
        .result;
        assert!(
            matches!(again, Some(Ok(StartupRequest::Login(again))) if again == startup),
            "what a client asks for is not what a server hears"
        );
    }
}

/// What a server, or whoever sits in its place, answers. The first byte chooses how the login is tried.
pub fn pg_dial(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let security = match choice % 3 {
        0 => TransportSecurity::Required,
        one => TransportSecurity::Plain { trusted: one == 1 },
    };
    let has_token = choice / 3 % 2 == 0;
    let credential = match Secret::new("password") {
        Some(password) if !has_token => Credential::Password(password),
        _ => Credential::Token(Zeroizing::new(TOKEN.to_owned())),
    };
    let channel_binding =
        if choice / 6 % 2 == 0 { ChannelBinding::Prefer } else { ChannelBinding::Require };
    let startup =
        StartupParams { minor: 2, user: "jane".to_owned(), database: None, parameters: Vec::new() };
    let direct_tls = choice / 12 % 2 == 1;
    let dial = ClientLogin::new(client::ClientConfig {
        startup,
        security,
        direct_tls,
        credential,
        channel_binding,
    });
    let played = play(dial, data, usize::from(choice / 24) + 1);
    assert!(played.sent.len() < 64 * 1024, "a server is told a great deal");
    let told = played.sent.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
    assert!(
        !told || played.is_secure || security == TransportSecurity::Plain { trusted: true },
        "somebody could read the token"
    );
    match played.result {
        Some(Ok(session)) => {
            assert!(
                channel_binding != ChannelBinding::Require,
                "a server that is not bound to the channel is believed"
            );
            assert!(
                session.notices.len() <= 64 * 1024 && session.parameters.len() <= 256,
                "a server fills the memory"
            );
        }
        Some(Err(error)) => assert!(
            !error.to_string().contains(TOKEN)
                || data.windows(TOKEN.len()).any(|w| w == TOKEN.as_bytes()),
            "an error shows the token"
        ),
        None => {}
    }
}

/// What both sides say once the login is over: it is understood the same however it is cut.
pub fn pg_stream(data: &[u8]) {
    let Some((size, data)) = data.split_first() else {
        return;
    };
    let size = usize::from(*size) + 1;
    let (mut whole, mut cut) = (FrontendTracker::default(), FrontendTracker::default());
    let forwarded = |requests: &mut FrontendTracker, piece: &[u8]| match requests.follow(piece) {
        ForwardPlan::All => piece.len(),
        ForwardPlan::Until(end) => {
            assert!(end <= piece.len(), "more is forwarded than there is");
            end
        }
    };
    let at_once = forwarded(&mut whole, data);
    let in_pieces: usize = data.chunks(size).map(|piece| forwarded(&mut cut, piece)).sum();
    assert_eq!(
        (at_once, whole.expected_ready()),
        (in_pieces, cut.expected_ready()),
        "requests are understood differently when they are cut"
    );
    let (mut whole, mut cut) = (BackendTracker::default(), BackendTracker::default());
    whole.follow(data);
    data.chunks(size).for_each(|piece| cut.follow(piece));
    assert_eq!(
        (whole.received_ready(), whole.status()),
        (cut.received_ready(), cut.status()),
        "answers are understood differently when they are cut"
    );
    let _fields = codec::error_fields(&codec::with_explanation(data, "detail", "hint"));
}
