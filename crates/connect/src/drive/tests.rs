//! Our dial against our login, over loopback and in TLS.

use std::fs;
use std::time::Duration;

use countersign_core::credentials::Secret;
use countersign_wire::exchange::{Credential, Security, Tls as Offer};
use countersign_wire::pg::dial::{ChannelBinding, Dial, Session, Settings};
use countersign_wire::pg::login::{self, Ask, Login, Outcome, ScramVerifier};
use countersign_wire::pg::{CancelKey, Startup, codec};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::tls::{Roots, Verification, client_config, server_config};
use crate::transport::Socket;

const HOST: &str = "localhost";

/// Both sides' TLS: the client believes the one certificate there is.
fn tls(alpn: &[&[u8]]) -> (Tls, Tls) {
    let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let roots = Roots::from_file(&certificate).unwrap();
    let (config, end_point) = server_config(&certificate, &key, alpn).unwrap();
    let name = ServerName::try_from(HOST).unwrap();
    let client =
        ClientTls { config: client_config(Verification::Full, &roots, alpn).unwrap(), name };
    (Tls::Client(client), Tls::Server(ServerTls { config, end_point }))
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

fn settings(direct_tls: bool) -> Settings {
    Settings {
        startup: Startup {
            minor: 2,
            user: "jane".to_owned(),
            database: None,
            parameters: Vec::new(),
        },
        security: Security::Required,
        direct_tls,
        credential: Credential::Password(password()),
        channel_binding: ChannelBinding::Require,
    }
}

/// Lets one log in to the other, which sends the welcome.
async fn log_in(
    settings: Settings,
    (client, server): (Tls, Tls),
) -> (Result<Session, Broken>, Result<Outcome, Broken>) {
    let (mut dialling, mut taking) = pair().await;
    let ask = Ask::Password(Arc::new(ScramVerifier::new(&password()).unwrap()));
    let taken = tokio::spawn(async move {
        let login = Login::new(login::Settings { tls: Offer::Required, ask });
        let outcome = drive(&mut taking, &mut Inbox::default(), login, &server).await;
        if outcome.is_ok() {
            let key = CancelKey::random(None, 2).unwrap();
            taking.write_all(&codec::welcome(&[], &key)).await.unwrap();
        }
        taking.close().await;
        outcome
    });
    let mut inbox = Inbox::default();
    let dial = drive(&mut dialling, &mut inbox, Dial::new(settings), &client);
    let dialled = timeout(Duration::from_secs(30), dial).await.expect("it hangs");
    dialling.close().await;
    (dialled, taken.await.unwrap())
}

#[tokio::test]
async fn a_login_is_bound_to_its_channel_however_tls_begins() {
    for direct_tls in [false, true] {
        let (dialled, taken) = log_in(settings(direct_tls), tls(&[codec::ALPN])).await;
        assert_eq!(dialled.unwrap().status, b'I', "{direct_tls}");
        assert!(matches!(taken.unwrap(), Outcome::Login(startup) if startup.user == "jane"));
    }
}

#[tokio::test]
async fn tls_at_once_needs_postgresqls_name() {
    let (dialled, taken) = log_in(settings(true), tls(&[])).await;
    assert!(matches!(dialled, Err(Broken::Fault(Fault::Protocol { .. }))), "{dialled:?}");
    assert!(taken.is_err());
    assert!(log_in(settings(false), tls(&[])).await.0.is_ok(), "TLS that is asked for does not");
}

#[tokio::test]
async fn a_certificate_that_is_not_believed_ends_it_ahead_of_any_word() {
    let ((client, _), (_, server)) = (tls(&[codec::ALPN]), tls(&[codec::ALPN]));
    let (dialled, taken) = log_in(settings(false), (client, server)).await;
    assert!(matches!(dialled, Err(Broken::Tls(_))), "{dialled:?}");
    assert!(taken.is_err());
}

#[tokio::test]
async fn the_last_word_of_a_login_that_fails_arrives() {
    let wrong = Settings {
        credential: Credential::Password(Secret::new("open barley").unwrap()),
        ..settings(false)
    };
    let (dialled, taken) = log_in(wrong, tls(&[codec::ALPN])).await;
    let Err(Broken::Fault(Fault::Refused(said))) = dialled else { panic!("{dialled:?}") };
    assert_eq!(said.to_string(), "28P01: password authentication failed for user \"jane\"");
    assert!(matches!(taken, Err(Broken::Fault(Fault::Denied { .. }))), "{taken:?}");
}

#[tokio::test]
async fn who_hangs_up_within_a_login_is_noticed() {
    let (mut dialling, taking) = pair().await;
    drop(taking);
    let plain = Settings { security: Security::Plain { trusted: true }, ..settings(false) };
    let broken = drive(&mut dialling, &mut Inbox::default(), Dial::new(plain), &Tls::None)
        .await
        .unwrap_err();
    assert!(matches!(broken, Broken::Closed | Broken::Io(_)), "{broken:?}");
}
