//! Tests of the client side against the server side, for every combination of their configurations.

use crate::exchange::{ProtocolError, TransportSecurity};
use crate::pg::client::{ClientConfig, ClientLogin, Credential, Session};
use crate::pg::codec;
use crate::pg::server::{self, AuthMethod, ClientTlsMode, ServerLogin, StartupRequest};
use crate::pg::testing::{config, jane, key, secret, verifier};
use crate::testing::converse;

const END_POINT: [u8; 32] = [7; 32];

/// Configuration of both sides.
#[derive(Debug, Clone)]
struct Case {
    tls: ClientTlsMode,
    security: TransportSecurity,
    /// The server has a certificate to bind SCRAM to.
    certificate: bool,
    minor: u16,
    /// The server requires the password `open sesame`.
    requires_password: bool,
    password: Option<&'static str>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for tls in [ClientTlsMode::Off, ClientTlsMode::Offered, ClientTlsMode::Required] {
        for security in [
            TransportSecurity::Required,
            TransportSecurity::Plain { trusted: false },
            TransportSecurity::Plain { trusted: true },
        ] {
            for (certificate, minor) in [(true, 0), (true, 2), (false, 2)] {
                for (requires_password, password) in [
                    (false, None),
                    (true, None),
                    (true, Some("open sesame")),
                    (true, Some("open barley")),
                ] {
                    cases.push(Case {
                        tls,
                        security,
                        certificate,
                        minor,
                        requires_password,
                        password,
                    });
                }
            }
        }
    }
    cases
}

impl Case {
    /// Returns true if the login must succeed according to the manual.
    fn succeeds(&self) -> bool {
        let connected = if self.security == TransportSecurity::Required {
            self.tls != ClientTlsMode::Off
        } else {
            self.tls != ClientTlsMode::Required
        };
        connected && (!self.requires_password || self.password == Some("open sesame"))
    }

    fn run(
        &self,
        piece: usize,
    ) -> (Result<Session, ProtocolError>, Option<Result<StartupRequest, ProtocolError>>) {
        let credential = self
            .password
            .map_or(Credential::None, |password| Credential::Password(secret(password)));
        let client = ClientLogin::new(ClientConfig {
            startup: jane(self.minor),
            security: self.security,
            ..config(credential)
        });
        let auth = if self.requires_password {
            AuthMethod::Password(verifier())
        } else {
            AuthMethod::Trust
        };
        let server = ServerLogin::new(server::ServerConfig { tls: self.tls, auth });
        let end_point = self.certificate.then_some(END_POINT.as_slice());
        let login_ok = |_: &StartupRequest| {
            codec::login_ok(
                &[("server_version".to_owned(), "18.1".to_owned())],
                &key(if self.minor == 0 { 4 } else { 32 }),
            )
        };
        let (client, server) = converse(client, server, end_point, piece, login_ok);
        let session = client
            .result()
            .unwrap_or_else(|| Err(ProtocolError::protocol("the server closed the connection")));
        (session, server.result())
    }
}

#[test]
fn login_succeeds_exactly_if_the_configurations_match() {
    for case in cases() {
        let (session, request) = case.run(usize::MAX);
        assert_eq!(session.is_ok(), case.succeeds(), "{case:?}: {session:?}");
        if let Ok(session) = session {
            assert_eq!((session.minor, session.status), (case.minor, b'I'), "{case:?}");
            let Some(Ok(StartupRequest::Login(params))) = request else {
                panic!("{case:?}: {request:?}")
            };
            assert_eq!(params, jane(case.minor), "{case:?}");
        }
    }
}

#[test]
fn delivery_byte_by_byte_changes_nothing() {
    for case in cases() {
        match (case.run(usize::MAX).0, case.run(1).0) {
            (Ok(whole), Ok(split)) => assert_eq!(format!("{whole:?}"), format!("{split:?}")),
            (Err(whole), Err(split)) => assert_eq!(whole.to_string(), split.to_string()),
            (whole, split) => panic!("{case:?}: {whole:?}, but {split:?}"),
        }
    }
}

#[test]
fn wrong_password_is_reported_as_by_postgresql() {
    let case = Case {
        tls: ClientTlsMode::Required,
        security: TransportSecurity::Required,
        certificate: true,
        minor: 2,
        requires_password: true,
        password: Some("open barley"),
    };
    let (session, request) = case.run(7);
    assert_eq!(
        session.unwrap_err().to_string(),
        "28P01: password authentication failed for user \"jane\""
    );
    assert_eq!(request.unwrap().unwrap_err().to_string(), "wrong password (user \"jane\")");
}
