//! Our dial against our login, over loopback and in TLS.

use std::fs;
use std::time::Duration;

use countersign_core::credentials::Secret;
use countersign_wire::exchange::{ClientTlsMode as Offer, Credential, TransportSecurity};
use countersign_wire::pg::client::{ClientConfig, ClientLogin, Session};
use countersign_wire::pg::server::{self, AuthMethod, ScramVerifier, ServerLogin, StartupRequest};
use countersign_wire::pg::{CancelKey, StartupParams, codec};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::tls::{Roots, Verification, client_config, server_config};
use crate::transport::Socket;

const HOST: &str = "localhost";

/// Both sides' TLS: the client believes the one certificate there is.
fn tls(alpn: &[&[u8]]) -> (TlsConfig, TlsConfig) {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let roots = Roots::from_file(&certificate).unwrap();
    let (config, end_point) = server_config(&certificate, &key, alpn).unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let client =
        ClientTls { config: client_config(Verification::VerifyFull, &roots, alpn).unwrap(), name };
    (TlsConfig::Client(client), TlsConfig::Server(ServerTls { config, end_point }))
}

async fn pair() -> (Transport, Transport) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (
        Transport::from(Socket::Tcp(dialled.unwrap())),
        Transport::from(Socket::Tcp(accepted.unwrap().0)),
    )
}

fn password() -> Secret {
    Secret::new("open sesame").unwrap()
}

fn settings() -> ClientConfig {
    ClientConfig {
        startup: StartupParams {
            minor: 2,
            user: "jane".to_owned(),
            database: None,
            parameters: Vec::new(),
        },
        security: TransportSecurity::Required,
        credential: Credential::Password(password()),
    }
}

/// Lets one log in to the other, which sends the welcome.
async fn log_in(
    settings: ClientConfig,
    (client, server): (TlsConfig, TlsConfig),
) -> (Result<Session, DriveError>, Result<StartupRequest, DriveError>) {
    let (mut dialling, mut taking) = pair().await;
    let auth = AuthMethod::Password(Arc::new(ScramVerifier::new(&password()).unwrap()));
    let taken = tokio::spawn(async move {
        let login = ServerLogin::new(server::ServerConfig { tls: Offer::Required, auth });
        let outcome = drive(&mut taking, &mut ReadBuffer::default(), login, &server).await;
        if outcome.is_ok() {
            let key = CancelKey::random(None, 2).unwrap();
            taking.write_all(&codec::login_ok(&[], &key)).await.unwrap();
        }
        taking.close().await;
        outcome
    });
    let mut inbox = ReadBuffer::default();
    let dial = drive(&mut dialling, &mut inbox, ClientLogin::new(settings), &client);
    let dialled = timeout(Duration::from_secs(30), dial).await.expect("it hangs");
    dialling.close().await;
    (dialled, taken.await.unwrap())
}

#[tokio::test]
async fn login_succeeds_within_tls() {
    for alpn in [[codec::ALPN].as_slice(), &[]] {
        let (dialled, taken) = log_in(settings(), tls(alpn)).await;
        assert_eq!(dialled.unwrap().status, b'I');
        assert!(matches!(taken.unwrap(), StartupRequest::Login(startup) if startup.user == "jane"));
    }
}

/// As libpq with `sslnegotiation=direct`: the TLS handshake starts before the first message.
#[tokio::test]
async fn direct_tls_requires_alpn() {
    for (alpn, succeeds) in [([codec::ALPN].as_slice(), true), (&[], false)] {
        let (client, server) = tls(alpn);
        let TlsConfig::Client(ClientTls { config, name }) = client else { unreachable!() };
        let (mut dialling, mut taking) = pair().await;
        let taken = tokio::spawn(async move {
            let config = server::ServerConfig { tls: Offer::Required, auth: AuthMethod::Trust };
            let login = ServerLogin::new(config);
            drive(&mut taking, &mut ReadBuffer::default(), login, &server).await
        });
        dialling.connect_tls(config, name).await.unwrap();
        let _closed = dialling.write_all(&settings().startup.encode()).await;
        assert_eq!(taken.await.unwrap().is_ok(), succeeds);
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_ends_it_ahead_of_any_word() {
    let ((client, _), (_, server)) = (tls(&[codec::ALPN]), tls(&[codec::ALPN]));
    let (dialled, taken) = log_in(settings(), (client, server)).await;
    assert!(matches!(dialled, Err(DriveError::Tls(_))), "{dialled:?}");
    assert!(taken.is_err());
}

#[tokio::test]
async fn the_last_word_of_a_login_that_fails_arrives() {
    let wrong = ClientConfig {
        credential: Credential::Password(Secret::new("open barley").unwrap()),
        ..settings()
    };
    let (dialled, taken) = log_in(wrong, tls(&[codec::ALPN])).await;
    let Err(DriveError::Fault(ProtocolError::Refused(said))) = dialled else {
        panic!("{dialled:?}")
    };
    assert_eq!(said.to_string(), "28P01: password authentication failed for user \"jane\"");
    assert!(matches!(taken, Err(DriveError::Fault(ProtocolError::Denied { .. }))), "{taken:?}");
}

#[tokio::test]
async fn who_hangs_up_within_a_login_is_noticed() {
    let (mut dialling, taking) = pair().await;
    drop(taking);
    let plain = ClientConfig { security: TransportSecurity::Plain { trusted: true }, ..settings() };
    let broken =
        drive(&mut dialling, &mut ReadBuffer::default(), ClientLogin::new(plain), &TlsConfig::None)
            .await
            .unwrap_err();
    assert!(matches!(broken, DriveError::Closed | DriveError::Io(_)), "{broken:?}");
}
