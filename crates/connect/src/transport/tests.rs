//! Both ends of a connection over loopback.

use std::sync::Arc;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};

use super::{Socket, Transport};

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let server = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (
        Arc::new(client.with_root_certificates(roots).with_no_client_auth()),
        Arc::new(server.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap()),
    )
}

async fn pair() -> (Transport, Transport) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (Transport::from(Socket::Tcp(dialled.unwrap())), Transport::from(Socket::Tcp(accepted.unwrap().0)))
}

async fn encrypted() -> (Transport, Transport) {
    let (client_config, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (connected, accepted) = tokio::join!(client.connect_tls(client_config, name), server.accept_tls(server_config, &[]));
    connected.unwrap();
    accepted.unwrap();
    (client, server)
}

async fn passes(mut from: Transport, mut to: Transport) {
    let message: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let sent = message.clone();
    let sender = tokio::spawn(async move {
        from.write_all(&sent).await.unwrap();
        from.close().await;
    });
    let mut got = Vec::new();
    while to.read(|bytes| got.extend_from_slice(bytes)).await.unwrap() > 0 {}
    assert_eq!(got, message);
    sender.await.unwrap();
}

#[tokio::test]
async fn all_that_is_sent_arrives() {
    let (one, other) = pair().await;
    passes(one, other).await;
    let (client, server) = encrypted().await;
    passes(client, server).await;
    let (client, server) = encrypted().await;
    passes(server, client).await;
}

#[tokio::test]
async fn a_server_shows_its_certificate_and_a_client_none() {
    let (client, server) = encrypted().await;
    assert!(client.certificate().is_some() && client.is_encrypted());
    assert_eq!(server.certificate(), None);
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_ends_the_handshake() {
    let (client_config, _) = configs();
    let (_, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (connected, accepted) = tokio::join!(client.connect_tls(client_config, name), async {
        let accepted = server.accept_tls(server_config, &[]).await;
        drop(server);
        accepted
    });
    assert!(connected.unwrap_err().to_string().contains("certificate"), "the reason is the certificate");
    // The alert may or may not have been there before the server was done.
    let _either = accepted;
}

#[tokio::test]
async fn silence_in_the_handshake_is_an_end_and_not_a_hang() {
    let (client_config, _) = configs();
    let (mut client, server) = pair().await;
    drop(server);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(client.connect_tls(client_config, name).await.is_err());
}
