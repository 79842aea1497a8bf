use std::convert::Infallible;
use std::net::SocketAddr;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Starts a collector. Returns its endpoint, and a receiver of paths and bodies of requests.
async fn collector(status: StatusCode) -> (String, mpsc::UnboundedReceiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body =
                        request.into_body().collect().await.expect("a body").to_bytes().to_vec();
                    sender.send((path, body)).expect("a receiver");
                    let mut response = Response::new(String::new());
                    *response.status_mut() = status;
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (format!("http://{address}"), receiver)
}

fn has(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

async fn finish(traces: Traces) -> Result<(), Failure> {
    tokio::task::spawn_blocking(|| traces.finish()).await.expect("no panic")
}

#[tokio::test]
async fn only_connections_are_exported() {
    let (endpoint, mut received) = collector(StatusCode::OK).await;
    let (layer, traces) = layer(&endpoint, 1.0, Handle::current()).expect("a layer");
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        let connection = connection(7, "orders", Engine::Postgres, "192.0.2.1:40000");
        connection.in_scope(|| {
            record_user(&connection, &"u".repeat(500), Some("shop"));
            record_pooled(&connection, false);
            for step in [Step::Accept, Step::Login, Step::Dial, Step::Relay] {
                let span = step.span();
                record_server(&span, SocketAddr::from(([192, 0, 2, 9], 5432)));
                span.in_scope(|| tracing::error!(password = "swordfish", "an event"));
                record_failure(&span, Class::TimedOut);
            }
            tracing::error_span!("other", token = "swordfish")
                .in_scope(|| tracing::info!("swordfish"));
        });
    });
    finish(traces).await.expect("exported");
    let (path, body) = received.recv().await.expect("a batch");
    assert_eq!(path, "/v1/traces");
    let attributes = [
        "countersign-proxy",
        "connection",
        "orders",
        "postgresql",
        "192.0.2.1:40000",
        "shop",
        "192.0.2.9:5432",
        "timed-out",
    ];
    for text in attributes.into_iter().chain(["accept", "login", "dial", "relay"]) {
        assert!(has(&body, text), "missing: {text} in {}", String::from_utf8_lossy(&body));
    }
    assert!(has(&body, &"u".repeat(MAX_ATTRIBUTE)) && !has(&body, &"u".repeat(MAX_ATTRIBUTE + 1)));
    assert!(!has(&body, "swordfish") && !has(&body, "other") && !has(&body, "an event"));
}

#[tokio::test]
async fn unsampled_connections_are_not_exported() {
    let (endpoint, mut received) = collector(StatusCode::OK).await;
    let (layer, traces) = layer(&endpoint, 0.0, Handle::current()).expect("a layer");
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::with_default(subscriber, || {
        drop(connection(7, "orders", Engine::Mysql, "192.0.2.1:40000"))
    });
    finish(traces).await.expect("nothing to export");
    assert!(received.try_recv().is_err());
}

#[tokio::test]
async fn a_failing_collector_does_not_affect_the_proxy() {
    let (rejecting, mut received) = collector(StatusCode::BAD_REQUEST).await;
    for endpoint in [rejecting.as_str(), "http://127.0.0.1:1"] {
        let (layer, traces) = layer(endpoint, 1.0, Handle::current()).expect("a layer");
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            drop(connection(7, "orders", Engine::Mariadb, "192.0.2.1:40000"))
        });
        _ = finish(traces).await;
    }
    received.recv().await.expect("a request");
}

#[test]
fn endpoints_without_a_path_get_the_default_path() {
    for (endpoint, expected) in [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("http://localhost:4318/", "http://localhost:4318/v1/traces"),
        ("https://collector.example/otlp/v1/traces", "https://collector.example/otlp/v1/traces"),
    ] {
        assert_eq!(traces_url(endpoint).expect("a URL"), expected);
    }
    for wrong in [
        "",
        "localhost:4318",
        "grpc://localhost:4317",
        "http://",
        "/v1/traces",
        "http://user:swordfish@localhost:4318",
    ] {
        let failure = traces_url(wrong).expect_err(wrong);
        assert!(
            failure.class == Class::Usage && !failure.detail.contains("swordfish"),
            "{failure}"
        );
    }
}
