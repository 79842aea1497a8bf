//! The client exchange against the server exchange, over loopback with TLS.

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

/// TLS configurations of both sides: the client trusts the only certificate.
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
    let (connected, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (
        Transport::from(Socket::Tcp(connected.unwrap())),
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

/// Runs a login, and returns the results of client and server.
async fn log_in(
    settings: ClientConfig,
    (client, server): (TlsConfig, TlsConfig),
) -> (Result<Session, DriveError>, Result<StartupRequest, DriveError>) {
    let (mut dialling, mut taking) = pair().await;
    let auth = AuthMethod::Password(Arc::new(ScramVerifier::new(&password()).unwrap()));
    let accepted = tokio::spawn(async move {
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
    let connected = timeout(Duration::from_secs(30), dial).await.expect("it hangs");
    dialling.close().await;
    (connected, accepted.await.unwrap())
}

#[tokio::test]
async fn login_succeeds_within_tls() {
    for alpn in [[codec::ALPN].as_slice(), &[]] {
        let (connected, accepted) = log_in(settings(), tls(alpn)).await;
        assert_eq!(connected.unwrap().status, b'I');
        assert!(
            matches!(accepted.unwrap(), StartupRequest::Login(startup) if startup.user == "jane")
        );
    }
}

/// As libpq with `sslnegotiation=direct`: the TLS handshake starts before the first message.
#[tokio::test]
async fn direct_tls_requires_alpn() {
    for (alpn, succeeds) in [([codec::ALPN].as_slice(), true), (&[], false)] {
        let (client, server) = tls(alpn);
        let TlsConfig::Client(ClientTls { config, name }) = client else { unreachable!() };
        let (mut dialling, mut taking) = pair().await;
        let accepted = tokio::spawn(async move {
            let config = server::ServerConfig { tls: Offer::Required, auth: AuthMethod::Trust };
            let login = ServerLogin::new(config);
            drive(&mut taking, &mut ReadBuffer::default(), login, &server).await
        });
        dialling.connect_tls(config, name).await.unwrap();
        let _closed = dialling.write_all(&settings().startup.encode()).await;
        assert_eq!(accepted.await.unwrap().is_ok(), succeeds);
    }
}

#[tokio::test]
async fn an_untrusted_certificate_ends_the_exchange_before_the_startup_message() {
    let ((client, _), (_, server)) = (tls(&[codec::ALPN]), tls(&[codec::ALPN]));
    let (connected, accepted) = log_in(settings(), (client, server)).await;
    assert!(matches!(connected, Err(DriveError::Tls(_))), "{connected:?}");
    assert!(accepted.is_err());
}

#[tokio::test]
async fn the_error_packet_of_a_failed_login_arrives() {
    let wrong = ClientConfig {
        credential: Credential::Password(Secret::new("open barley").unwrap()),
        ..settings()
    };
    let (connected, accepted) = log_in(wrong, tls(&[codec::ALPN])).await;
    let Err(DriveError::Protocol(ProtocolError::Refused(error))) = connected else {
        panic!("{connected:?}")
    };
    assert_eq!(error.to_string(), "28P01: password authentication failed for user \"jane\"");
    assert!(
        matches!(accepted, Err(DriveError::Protocol(ProtocolError::Denied { .. }))),
        "{accepted:?}"
    );
}

#[tokio::test]
async fn a_connection_closed_during_a_login_is_an_error() {
    let (mut dialling, taking) = pair().await;
    drop(taking);
    let plain = ClientConfig { security: TransportSecurity::Plain { trusted: true }, ..settings() };
    let broken =
        drive(&mut dialling, &mut ReadBuffer::default(), ClientLogin::new(plain), &TlsConfig::None)
            .await
            .unwrap_err();
    assert!(matches!(broken, DriveError::Closed | DriveError::Io(_)), "{broken:?}");
}
