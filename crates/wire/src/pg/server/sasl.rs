//! SCRAM authentication of the client.

use std::sync::Arc;

use crate::exchange::ProtocolError;
use crate::pg::scram::server::{Mechanism, Rejection, ServerFirst};
use crate::pg::scram::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramVerifier};
use crate::pg::{StartupParams, codec};

use super::error::{self, violation};

/// State after the offer of mechanisms: the client has to select one.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) params: StartupParams,
    pub(super) verifier: Arc<ScramVerifier>,
    /// Channel binding data, if the client uses TLS.
    pub(super) server_end_point: Option<Vec<u8>>,
}

impl Offer {
    /// Encodes `AuthenticationSASL`, with the stronger mechanism first.
    pub(super) fn mechanisms(&self) -> Vec<u8> {
        let mut names = Vec::new();
        if self.server_end_point.is_some() {
            codec::put_cstr(&mut names, SCRAM_SHA_256_PLUS);
        }
        codec::put_cstr(&mut names, SCRAM_SHA_256);
        names.push(0);
        codec::authentication(10, &names)
    }

    /// Reads `SASLInitialResponse` and returns `AuthenticationSASLContinue`.
    pub(super) fn on_initial_response(
        self,
        kind: u8,
        payload: &[u8],
    ) -> Result<(Vec<u8>, Challenge), ProtocolError> {
        let (mechanism, client_first) = initial_response(kind, payload)?;
        let is = |name: &str| mechanism == name.as_bytes();
        let mechanism = match &self.server_end_point {
            Some(end_point) if is(SCRAM_SHA_256_PLUS) => Mechanism::Plus(end_point),
            Some(_) if is(SCRAM_SHA_256) => Mechanism::PlainOverPlus,
            None if is(SCRAM_SHA_256) => Mechanism::Plain,
            _ => {
                return Err(violation("client selected an invalid SASL authentication mechanism"));
            }
        };
        let nonce = scram::nonce().map_err(error::no_random_numbers)?;
        let (server_first, message) =
            ServerFirst::new(self.verifier, mechanism, client_first, &nonce)
                .map_err(|rejection| rejected(&rejection, &self.params.user))?;
        Ok((
            codec::authentication(11, message.as_bytes()),
            Challenge { params: self.params, server_first },
        ))
    }
}

/// State after the challenge: the client has to send its proof.
#[derive(Debug)]
pub(super) struct Challenge {
    params: StartupParams,
    server_first: ServerFirst,
}

impl Challenge {
    /// Verifies `SASLResponse` and returns `AuthenticationSASLFinal`.
    pub(super) fn on_response(
        self,
        kind: u8,
        payload: &[u8],
    ) -> Result<(Vec<u8>, StartupParams), ProtocolError> {
        require_sasl_response(kind)?;
        let message = self
            .server_first
            .verify(payload)
            .map_err(|rejection| rejected(&rejection, &self.params.user))?;
        Ok((codec::authentication(12, message.as_bytes()), self.params))
    }
}

/// Returns the mechanism and `client-first-message`. SASL lets a client omit the latter, but libpq
/// always sends it.
fn initial_response(kind: u8, payload: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    require_sasl_response(kind)?;
    let parts = codec::get_cstr(payload)
        .and_then(|(mechanism, rest)| Some((mechanism, rest.split_first_chunk()?)));
    let Some((mechanism, (length, client_first))) = parts else {
        return Err(violation("malformed SASL response"));
    };
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(client_first.len()) {
        return Err(violation("malformed SASL response: its length is wrong"));
    }
    Ok((mechanism, client_first))
}

fn require_sasl_response(kind: u8) -> Result<(), ProtocolError> {
    match kind {
        b'p' => Ok(()),
        kind => Err(violation(&format!(
            "expected SASL response, got message type '{}'",
            char::from(kind).escape_default()
        ))),
    }
}

fn rejected(rejection: &Rejection, user: &str) -> ProtocolError {
    match *rejection {
        Rejection::Malformed(detail) => violation(detail),
        Rejection::Unsupported(detail) => error::unsupported(detail),
        Rejection::ChannelBinding(detail) => error::channel_binding(detail),
        Rejection::Password => error::wrong_password(user),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::exchange::TlsInfo;
    use crate::pg::codec;
    use crate::pg::scram::client::{Binding, ClientFirst};
    use crate::pg::server::{AuthMethod, ClientTlsMode, ServerConfig, ServerLogin, StartupRequest};
    use crate::pg::testing::{format, secret, startup, verifier};
    use crate::testing::Side;

    const JANE: &[&str] = &["user", "jane"];

    fn login(tls: ClientTlsMode) -> Side<ServerLogin> {
        let auth = AuthMethod::Password(verifier());
        Side::new(ServerLogin::new(ServerConfig { tls, auth }))
    }

    /// Returns a login without TLS that has sent its mechanisms.
    fn offered() -> Side<ServerLogin> {
        let mut side = login(ClientTlsMode::Off);
        side.feed(&startup(3, 0, JANE)).sent();
        side
    }

    /// Returns a login with TLS that has sent its mechanisms.
    fn offered_within_tls() -> Side<ServerLogin> {
        let mut side = login(ClientTlsMode::Required);
        side.feed(&codec::ssl_request()).sent();
        let tls = TlsInfo { server_end_point: Some(vec![7; 32]), alpn_protocol: None };
        side.establish_tls(tls).feed(&startup(3, 0, JANE));
        side
    }

    fn initial_response(mechanism: &str, first: &[u8]) -> Vec<u8> {
        let length = u32::try_from(first.len()).unwrap().to_be_bytes();
        codec::message(b'p', &[mechanism.as_bytes(), &[0], &length, first].concat())
    }

    /// Returns the login after the challenge, and the client's proof.
    fn prove(
        mut side: Side<ServerLogin>,
        password: &str,
        binding: Binding,
        mechanism: &str,
    ) -> (Side<ServerLogin>, Vec<u8>) {
        let first = ClientFirst::new(binding).unwrap();
        side.sent();
        let message = first.message();
        let challenge = side.feed(&initial_response(mechanism, message.as_bytes())).sent();
        assert_eq!((challenge[0], &challenge[5..9]), (b'R', [0, 0, 0, 11].as_slice()));
        let (_, proof) = first.respond(&secret(password), &challenge[9..]).unwrap();
        (side, codec::message(b'p', proof.as_bytes()))
    }

    fn user(side: Side<ServerLogin>) -> String {
        match side.output() {
            StartupRequest::Login(params) => params.user,
            StartupRequest::Cancel(key) => panic!("{key:?}"),
        }
    }

    fn rejected(mut side: Side<ServerLogin>, bytes: &[u8]) -> (String, String) {
        let sent = format(&side.feed(bytes).sent());
        (sent, side.error().to_string())
    }

    #[test]
    fn password_is_verified_for_any_user_name() {
        let mut side = login(ClientTlsMode::Off);
        side.feed(&startup(3, 2, JANE));
        insta::assert_snapshot!(format(&side.sent()), @r"R \x00\x00\x00\nSCRAM-SHA-256\x00\x00");
        let (mut side, proof) = prove(side, "open sesame", Binding::None, "SCRAM-SHA-256");
        let last = side.feed(&[proof, codec::query("SELECT 1")].concat()).sent();
        assert_eq!((last[0], &last[5..9]), (b'R', [0, 0, 0, 12].as_slice()));
        assert!(
            !format(&last).contains("R \\x00\\x00\\x00\\x00"),
            "AuthenticationOk is sent by the caller"
        );
        assert_eq!(side.unread(), codec::query("SELECT 1"), "left for the session");
        assert_eq!(user(side), "jane");
    }

    #[test]
    fn channel_binding_is_offered_within_tls() {
        let plus = "SCRAM-SHA-256-PLUS";
        let end_point = |byte| Binding::TlsServerEndPoint(vec![byte; 32]);
        insta::assert_snapshot!(format(&offered_within_tls().sent()), @r"R \x00\x00\x00\nSCRAM-SHA-256-PLUS\x00SCRAM-SHA-256\x00\x00");
        for (binding, mechanism) in [(end_point(7), plus), (Binding::None, "SCRAM-SHA-256")] {
            let (mut side, proof) = prove(offered_within_tls(), "open sesame", binding, mechanism);
            side.feed(&proof);
            assert_eq!(user(side), "jane");
        }
        let (side, proof) = prove(offered_within_tls(), "open sesame", end_point(8), plus);
        let (sent, error) = rejected(side, &proof);
        assert_eq!(sent, "FATAL 28000: SCRAM channel binding check failed\n");
        assert!(error.contains("man-in-the-middle"), "{error}");
    }

    /// Lists the errors that a client can receive during the authentication.
    #[test]
    fn errors_name_a_cause() {
        let sasl = |mechanism: &str, first: &str| initial_response(mechanism, first.as_bytes());
        let plus = sasl("SCRAM-SHA-256-PLUS", "p=tls-server-end-point,,n=,r=abc");
        let cases = [
            ("other message", codec::query("SELECT 1")),
            ("clear-text password", codec::message(b'p', b"open sesame\0")),
            ("unterminated string", codec::message(b'p', b"open sesame")),
            ("too long", codec::message(b'p', &[b'x'; 1025])),
            ("unknown mechanism", sasl("SCRAM-SHA-1", "n,,n=,r=abc")),
            ("mechanism that was not offered", plus),
            ("authorization identity", sasl("SCRAM-SHA-256", "n,a=postgres,n=,r=abc")),
            ("no nonce", sasl("SCRAM-SHA-256", "n,,n=")),
        ];
        let mut sent: Vec<String> = cases
            .into_iter()
            .map(|(case, bytes)| format!("-- {case}\n{}", rejected(offered(), &bytes).0))
            .collect();
        let mut challenged = offered();
        challenged.feed(&sasl("SCRAM-SHA-256", "n,,n=,r=abc")).sent();
        let message = codec::message(b'p', b"c=biws,r=abc");
        sent.push(format!("-- no proof\n{}", rejected(challenged, &message).0));
        let (side, proof) = prove(offered(), "open barley", Binding::None, "SCRAM-SHA-256");
        sent.push(format!("-- wrong password\n{}", rejected(side, &proof).0));
        insta::assert_snapshot!(sent.concat(), @r#"
        -- other message
        FATAL 08P01: expected SASL response, got message type 'Q'
        -- clear-text password
        FATAL 08P01: malformed SASL response
        -- unterminated string
        FATAL 08P01: malformed SASL response
        -- too long
        FATAL 08P01: length 1029 of message type 'p' is not between 4 and 1028
        -- unknown mechanism
        FATAL 08P01: client selected an invalid SASL authentication mechanism
        -- mechanism that was not offered
        FATAL 08P01: client selected an invalid SASL authentication mechanism
        -- authorization identity
        FATAL 0A000: the client uses an authorization identity, which is not supported
        -- no nonce
        FATAL 08P01: the first SCRAM message is malformed
        -- no proof
        FATAL 08P01: the last SCRAM message is malformed
        -- wrong password
        FATAL 28P01: password authentication failed for user "jane"
        "#);
    }

    #[test]
    fn errors_and_debug_show_no_password() {
        let (sent, error) = rejected(offered(), &codec::message(b'p', b"hunter2\0"));
        assert!(!sent.contains("hunter2") && !error.contains("hunter2"));
        let auth = AuthMethod::Password(verifier());
        let login = ServerLogin::new(ServerConfig { tls: ClientTlsMode::Off, auth });
        assert!(!format!("{login:?}").contains("sesame"));
    }

    proptest! {
        #[test]
        fn no_login_without_the_password(
            mechanism in prop_oneof![Just("SCRAM-SHA-256"), Just("SCRAM-SHA-256-PLUS")],
            first: Vec<u8>,
            last: Vec<u8>,
        ) {
            let mut side = offered();
            side.feed(&initial_response(mechanism, &first));
            side.feed(&codec::message(b'p', &last));
            prop_assert!(!matches!(side.result(), Some(Ok(_))));
        }
    }
}
