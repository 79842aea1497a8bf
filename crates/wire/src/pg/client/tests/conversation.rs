//! Our dial against our login, for every combination of what both may be told.

use crate::exchange::{ProtocolError, TransportSecurity};
use crate::pg::client::{ChannelBinding, ClientConfig, ClientLogin, Credential};
use crate::pg::codec;
use crate::pg::server::{self, AuthMethod, ClientTlsMode, ServerLogin, StartupRequest};
use crate::pg::testing::{jane, key, secret, settings, verifier};
use crate::testing::converse;

const END_POINT: [u8; 32] = [7; 32];

/// Everything that a login between the two depends on.
#[derive(Debug, Clone)]
struct Case {
    tls: ClientTlsMode,
    security: TransportSecurity,
    direct_tls: bool,
    binding: ChannelBinding,
    certificate: bool,
    minor: u16,
    /// What the login asks for, and what the dial knows.
    asked: bool,
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
            for direct_tls in [false, true] {
                for binding in
                    [ChannelBinding::Prefer, ChannelBinding::Require, ChannelBinding::Disable]
                {
                    for (certificate, minor) in [(true, 0), (true, 2), (false, 2)] {
                        for (asked, password) in [
                            (false, None),
                            (true, None),
                            (true, Some("open sesame")),
                            (true, Some("open barley")),
                        ] {
                            cases.push(Case {
                                tls,
                                security,
                                direct_tls,
                                binding,
                                certificate,
                                minor,
                                asked,
                                password,
                            });
                        }
                    }
                }
            }
        }
    }
    cases
}

impl Case {
    /// Whether both come together, which the manual says.
    fn succeeds(&self) -> bool {
        let encrypted = self.security == TransportSecurity::Required;
        let reached = if encrypted {
            self.tls != ClientTlsMode::Off
        } else {
            self.tls != ClientTlsMode::Required
        };
        let proved = !self.asked || self.password == Some("open sesame");
        let bound = self.binding != ChannelBinding::Require
            || (self.asked && encrypted && self.certificate);
        reached && proved && bound
    }

    fn play(
        &self,
        piece: usize,
    ) -> (Result<super::Session, ProtocolError>, Option<Result<StartupRequest, ProtocolError>>)
    {
        let dial = ClientLogin::new(ClientConfig {
            startup: jane(self.minor),
            security: self.security,
            direct_tls: self.direct_tls,
            channel_binding: self.binding,
            ..settings(
                self.password
                    .map_or(Credential::None, |password| Credential::Password(secret(password))),
            )
        });
        let ask = if self.asked { AuthMethod::Password(verifier()) } else { AuthMethod::Trust };
        let login = ServerLogin::new(server::ServerConfig { tls: self.tls, ask });
        let end_point = self.certificate.then_some(END_POINT.as_slice());
        let welcome = |_: &StartupRequest| {
            codec::login_ok(
                &[("server_version".to_owned(), "18.1".to_owned())],
                &key(if self.minor == 0 { 4 } else { 32 }),
            )
        };
        let (dial, login) = converse(dial, login, end_point, piece, welcome);
        let dialled = dial
            .result()
            .unwrap_or_else(|| Err(ProtocolError::protocol("the login hung up without a word")));
        (dialled, login.result())
    }
}

#[test]
fn both_come_together_where_they_should_and_nowhere_else() {
    for case in cases() {
        let (dialled, taken) = case.play(usize::MAX);
        assert_eq!(dialled.is_ok(), case.succeeds(), "{case:?}: {dialled:?}");
        if let Ok(session) = dialled {
            assert_eq!((session.minor, session.status), (case.minor, b'I'), "{case:?}");
            let Some(Ok(StartupRequest::Login(startup))) = taken else {
                panic!("{case:?}: {taken:?}")
            };
            assert_eq!(startup, jane(case.minor), "{case:?}");
        }
    }
}

#[test]
fn byte_by_byte_it_is_the_same() {
    for case in cases() {
        let (whole, cut) = (case.play(usize::MAX).0, case.play(1).0);
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => assert_eq!(format!("{whole:?}"), format!("{cut:?}")),
            (Err(whole), Err(cut)) => assert_eq!(whole.to_string(), cut.to_string()),
            (whole, cut) => panic!("{case:?}: {whole:?}, but {cut:?}"),
        }
    }
}

#[test]
fn a_wrong_password_is_told_in_postgresqls_words() {
    let case = Case {
        tls: ClientTlsMode::Required,
        security: TransportSecurity::Required,
        direct_tls: false,
        binding: ChannelBinding::Require,
        certificate: true,
        minor: 2,
        asked: true,
        password: Some("open barley"),
    };
    let (dialled, taken) = case.play(7);
    assert_eq!(
        dialled.unwrap_err().to_string(),
        "28P01: password authentication failed for user \"jane\""
    );
    assert_eq!(
        taken.unwrap().unwrap_err().to_string(),
        "a wrong password came with the user name \"jane\""
    );
}
