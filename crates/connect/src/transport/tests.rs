//! Both ends of a connection over loopback.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Socket, Transport};

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    (
        Arc::new(client.with_root_certificates(roots).with_no_client_auth()),
        Arc::new(
            server
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key.into())
                .unwrap(),
        ),
    )
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

async fn encrypted() -> (Transport, Transport) {
    let (client_config, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (connected, accepted) = tokio::join!(
        client.connect_tls(client_config, name),
        server.accept_tls(server_config, &[])
    );
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
async fn all_sent_bytes_arrive() {
    let (one, other) = pair().await;
    passes(one, other).await;
    let (client, server) = encrypted().await;
    passes(client, server).await;
    let (client, server) = encrypted().await;
    passes(server, client).await;
}

/// In TLS 1.3 a client may send data before the server has completed the handshake.
#[tokio::test]
async fn data_received_with_the_handshake_is_not_lost() {
    let (client_config, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let message: Vec<u8> = (0..400_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let sent = message.clone();
    let sender = tokio::spawn(async move {
        client
            .connect_tls(client_config, ServerName::try_from("localhost").unwrap())
            .await
            .unwrap();
        client.write_all(&sent).await.unwrap();
        client.close().await;
    });
    // The socket buffer is full by then.
    server.readable().await.unwrap();
    server.accept_tls(server_config, &[]).await.unwrap();
    let mut got = Vec::new();
    loop {
        server.readable().await.unwrap();
        if server.read(|bytes| got.extend_from_slice(bytes)).await.unwrap() == 0 {
            break;
        }
    }
    assert!(got == message, "{} bytes of {}", got.len(), message.len());
    sender.await.unwrap();
}

/// A ClientHello that the login has read already is passed to the handshake.
#[tokio::test]
async fn a_client_hello_read_earlier_is_part_of_the_handshake() {
    let (client_config, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let connected = tokio::spawn(async move {
        client
            .connect_tls(client_config, ServerName::try_from("localhost").unwrap())
            .await
            .unwrap();
        client.write_all(b"SELECT 1").await.unwrap();
        client
    });
    let mut early = Vec::new();
    server.read(|bytes| early.extend_from_slice(bytes)).await.unwrap();
    assert_eq!(early.first(), Some(&0x16));
    server.accept_tls(server_config, &early).await.unwrap();
    let mut got = Vec::new();
    server.read(|bytes| got.extend_from_slice(bytes)).await.unwrap();
    assert_eq!(got, b"SELECT 1");
    drop(connected.await.unwrap());
}

/// A peer may send close_notify and leave the socket open: no data follows, but data may still be
/// sent.
#[tokio::test]
async fn close_notify_is_the_end_of_the_stream() {
    let (mut client, mut server) = encrypted().await;
    client.write_all(b"bye").await.unwrap();
    client.session.as_mut().unwrap().close(&mut client.unsent);
    poll_fn(|cx| client.poll_flush(cx)).await.unwrap();
    let mut got = Vec::new();
    let all =
        async { while server.read(|bytes| got.extend_from_slice(bytes)).await.unwrap() > 0 {} };
    timeout(Duration::from_secs(10), all).await.expect("it waits for more");
    let again =
        timeout(Duration::from_secs(10), server.read(|_| ())).await.expect("it waits for more");
    assert_eq!((got.as_slice(), again.unwrap()), (b"bye".as_slice(), 0));
    server.write_all(b"the end").await.unwrap();
    let mut received = Vec::new();
    client.read(|bytes| received.extend_from_slice(bytes)).await.unwrap();
    assert_eq!(received, b"the end");
}

/// Input that is not TLS is rejected and occupies no memory.
#[tokio::test]
async fn input_that_is_not_tls_ends_the_handshake() {
    for noise in [
        vec![b'x'; 300_000],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        [b"\x16\x03\x01\xff\xff".as_slice(), &[0; 70_000]].concat(),
    ] {
        let (_, server_config) = configs();
        let (mut client, mut server) = pair().await;
        let writer = tokio::spawn(async move {
            // The server may close the connection before all of it is sent.
            let _cut_off = client.write_all(&noise).await;
            client.close().await;
        });
        assert!(server.accept_tls(server_config, &[]).await.is_err());
        drop(server);
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_forged_record_ends_the_connection() {
    let (mut client, mut server) = encrypted().await;
    client.session = None;
    client.write_all(b"\x17\x03\x03\x00\x20abcdefghijklmnopqrstuvwxyz012345").await.unwrap();
    assert!(server.read(|_| panic!("the forged record was accepted")).await.is_err());
}

#[tokio::test]
async fn only_the_server_presents_a_certificate() {
    let (client, server) = encrypted().await;
    assert!(client.peer_certificate().is_some() && client.is_encrypted());
    assert_eq!(server.peer_certificate(), None);
}

#[tokio::test]
async fn an_untrusted_certificate_ends_the_handshake() {
    let (client_config, _) = configs();
    let (_, server_config) = configs();
    let (mut client, mut server) = pair().await;
    let name = ServerName::try_from("localhost").unwrap();
    let (connected, accepted) = tokio::join!(client.connect_tls(client_config, name), async {
        let accepted = server.accept_tls(server_config, &[]).await;
        drop(server);
        accepted
    });
    assert!(
        connected.unwrap_err().to_string().contains("certificate"),
        "the reason is the certificate"
    );
    // The alert may arrive before or after the end of the server.s handshake.
    let _either = accepted;
}

#[tokio::test]
async fn a_connection_closed_during_the_handshake_is_an_error() {
    let (client_config, _) = configs();
    let (mut client, server) = pair().await;
    drop(server);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(client.connect_tls(client_config, name).await.is_err());
}
