mod hostile;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use countersign_core::credentials::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::JoinHandle;

use super::*;
use crate::handover::{self, AcceptGate, HandoverServer};
use crate::health::FAILURES;
use crate::inherited::InheritedSocket;
use crate::metrics::Metrics;
use crate::settings::{ClientAuth, Listen, Password};
use crate::status::tests::example;
use crate::status::{HealthStatus, LastFailure, SessionStatus, Status, TargetStatus};

/// A proxy that consists of its admin hooks.
pub(super) struct FakeProxy {
    pub(super) status: Mutex<Status>,
    shutdowns: AtomicUsize,
    probes: AtomicUsize,
    reload: Mutex<Result<Vec<String>, Failure>>,
    pub(super) gate: AcceptGate,
}

impl FakeProxy {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            status: Mutex::new(example()),
            shutdowns: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            reload: Mutex::new(Ok(Vec::new())),
            gate: AcceptGate::default(),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().expect("no panic"));
    }

    fn shutdowns(&self) -> usize {
        self.shutdowns.load(Ordering::Relaxed)
    }

    fn hooks(
        self: &Arc<Self>,
        sockets: impl Fn() -> std::io::Result<Vec<InheritedSocket>> + Send + Sync + 'static,
    ) -> Arc<AdminHooks> {
        let [status, probe, reload, shutdown, update] = [(); 5].map(|()| Arc::clone(self));
        let metrics = Metrics::default();
        let gauges = metrics.clone();
        let auth =
            ClientAuth::Password(Arc::new(Password(Secret::new("swordfish").expect("not empty"))));
        Arc::new(AdminHooks {
            metrics,
            update_metrics: Box::new(move || {
                gauges
                    .target("orders")
                    .logins_queued
                    .set(update.probes.load(Ordering::Relaxed) as i64 + 3)
            }),
            status: Box::new(move || status.status.lock().expect("no panic").clone()),
            settings: Box::new(move || format!("{auth:#?}")),
            probe: Box::new(move || {
                probe.probes.fetch_add(1, Ordering::Relaxed);
                Box::pin(async {})
            }),
            reload: Box::new(move || {
                let outcome = reload.reload.lock().expect("no panic").clone();
                Box::pin(async { outcome })
            }),
            shutdown: Box::new(move || _ = shutdown.shutdowns.fetch_add(1, Ordering::Relaxed)),
            handover: HandoverServer::new(self.gate.clone(), sockets, || {}, |_, _| {}),
        })
    }

    /// Serves `routes` on a free port.
    pub(super) async fn serve(self: &Arc<Self>, routes: Routes, limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve_within(
            Listener::Tcp(listener),
            routes,
            self.hooks(|| Ok(Vec::new())),
            limits,
        ));
        address
    }
}

pub(super) const HTTP: Routes = Routes::Http { health: true, metrics: true };
const ADMIN: Routes = Routes::Admin { quit: true, debug: true };

/// Sends a request with the method and path `method` and the header lines `head`. Returns
/// status and body of the response.
async fn request_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    head: &str,
) -> (u16, String) {
    stream
        .write_all(format!("{method} HTTP/1.1\r\nconnection: close\r\n{head}\r\n").as_bytes())
        .await
        .expect("written");
    let mut response = String::new();
    stream.read_to_string(&mut response).await.expect("a response");
    let status = response
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("a status: {response}"));
    (status, response.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

pub(super) async fn request(address: SocketAddr, method: &str) -> (u16, String) {
    request_on(
        TcpStream::connect(address).await.expect("a connection"),
        method,
        "host: localhost\r\n",
    )
    .await
}

fn response(status: u16, body: &str) -> (u16, String) {
    (status, format!("{body}\n"))
}

#[tokio::test]
async fn a_healthy_proxy_is_started_ready_and_alive() {
    let address = FakeProxy::new().serve(HTTP, LIMITS).await;
    for page in
        ["/startup", "/readiness", "/liveness", "/readiness?min-ready=1", "/readiness?verbose"]
    {
        assert_eq!(request(address, &format!("GET {page}")).await, response(200, "ok"), "{page}");
    }
    assert_eq!(request(address, "HEAD /liveness").await, (200, String::new()));
    let (status, metrics) = request(address, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("countersign_proxy_logins_queued{target=\"orders\"} 3"), "{metrics}");
    assert_eq!(request(address, "POST /startup").await, response(405, "use GET"));
    for page in [
        "GET /",
        "GET /status",
        "GET /debug/sessions",
        "POST /quitquitquit",
        "POST /reload",
        "GET /startup/",
    ] {
        assert_eq!(request(address, page).await, response(404, "not found"), "{page}");
    }
}

#[tokio::test]
async fn disabled_routes_are_not_found() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(Routes::Http { health: false, metrics: true }, LIMITS).await;
    assert_eq!(request(address, "GET /liveness").await.0, 404);
    let address = proxy.serve(Routes::Http { health: true, metrics: false }, LIMITS).await;
    assert_eq!(request(address, "GET /metrics").await.0, 404);
    let address = proxy.serve(Routes::Admin { quit: false, debug: false }, LIMITS).await;
    assert_eq!(
        (
            request(address, "POST /quitquitquit").await.0,
            request(address, "GET /debug/tasks").await.0
        ),
        (404, 404)
    );
    assert_eq!(proxy.shutdowns(), 0);
}

#[tokio::test]
async fn startup_is_complete_after_each_listener_was_tried() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(HTTP, LIMITS).await;
    proxy.change(|status| status.startup_complete = false);
    assert_eq!(request(address, "GET /startup").await, response(503, "the proxy is starting"));
    assert_eq!(request(address, "GET /readiness").await, response(503, "the proxy is starting"));
    proxy.change(|status| {
        status.startup_complete = true;
        status.targets[0].listeners[0].failure = Some("the address is in use".to_owned());
    });
    assert_eq!(
        request(address, "GET /startup").await,
        response(200, "ok, but\norders: does not listen on 127.0.0.1:5432")
    );
    assert_eq!(request(address, "GET /readiness").await.0, 503);
}

#[tokio::test]
async fn a_draining_or_full_proxy_is_alive_but_not_ready() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(HTTP, LIMITS).await;
    proxy.change(|status| status.connections = 2);
    assert_eq!(
        request(address, "GET /readiness").await,
        response(503, "2 connections are open, which is the limit")
    );
    proxy.change(|status| status.draining = true);
    let (status, body) = request(address, "GET /readiness").await;
    assert_eq!((status, body.lines().next()), (503, Some("the proxy is shutting down")));
    assert_eq!(request(address, "GET /liveness").await.0, 200);
}

/// Returns a copy of `target` whose logins fail.
fn unhealthy(target: &TargetStatus) -> TargetStatus {
    let detail = "cannot connect to secret-host.example:5432".to_owned();
    let failure = LastFailure {
        class: Class::Unavailable,
        detail,
        failed_at: SystemTime::UNIX_EPOCH,
        consecutive_failures: FAILURES,
    };
    let health = HealthStatus { healthy: false, last_login: None, last_failure: Some(failure) };
    TargetStatus { name: "billing".to_owned(), health, ..target.clone() }
}

#[tokio::test]
async fn an_unhealthy_target_is_named_and_probed() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(HTTP, LIMITS).await;
    proxy.change(|status| {
        let other = unhealthy(&status.targets[0]);
        status.targets.push(other);
    });
    let why = "billing: cannot connect (unavailable); 3 consecutive logins failed";
    let not_ready = response(503, &format!("1 of 2 targets are ready, 2 must be\n{why}"));
    assert_eq!(request(address, "GET /readiness").await, not_ready);
    assert_eq!(request(address, "GET /readiness").await, not_ready);
    assert_eq!(proxy.probes.load(Ordering::Relaxed), 1, "at most once per interval");
    assert_eq!(
        request(address, "GET /readiness?min-ready=1").await,
        response(200, &format!("ok, but\n{why}"))
    );
    for wrong in ["0", "3", "-1", "one", "", "1&min-ready=1"] {
        assert_eq!(
            request(address, &format!("GET /readiness?min-ready={wrong}")).await.0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_admin_port_shows_the_status_and_shuts_the_proxy_down() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(ADMIN, LIMITS).await;
    assert_eq!(request(address, "GET /quitquitquit").await, response(405, "use POST"));
    assert_eq!(proxy.shutdowns(), 0);
    assert_eq!(
        request(address, "POST /quitquitquit").await,
        response(200, "the proxy is shutting down")
    );
    assert_eq!(proxy.shutdowns(), 1);
    let (_, sessions) = request(address, "GET /debug/sessions").await;
    assert_eq!(
        serde_json::from_str::<Vec<SessionStatus>>(&sessions).expect("sessions"),
        example().sessions
    );
    let (_, tasks) = request(address, "GET /debug/tasks").await;
    assert!(tasks.contains("\"clients\":[1,0]") && tasks.contains("\"alive\":"), "{tasks}");
    let (_, settings) = request(address, "GET /debug/settings").await;
    assert!(settings.contains("Password") && !settings.contains("swordfish"), "{settings}");
}

#[tokio::test]
async fn web_pages_cannot_shut_the_proxy_down() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(ADMIN, LIMITS).await;
    for head in [
        "host: evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
        "",
    ] {
        let stream = TcpStream::connect(address).await.expect("a connection");
        assert_eq!(request_on(stream, "POST /quitquitquit", head).await.0, 403, "{head}");
        let stream = TcpStream::connect(address).await.expect("a connection");
        assert_eq!(request_on(stream, "GET /debug/sessions", head).await.0, 403, "{head}");
    }
    assert_eq!(proxy.shutdowns(), 0);
}

#[tokio::test]
async fn routes_that_change_something_need_a_local_listener() {
    let hooks = FakeProxy::new().hooks(|| Ok(Vec::new()));
    for routes in [ADMIN, Routes::Private] {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a listener");
        let failure =
            serve(Listener::Tcp(listener), routes, Arc::clone(&hooks)).await.expect_err("refused");
        assert_eq!(failure.class, Class::Configuration);
    }
}

/// Serves the private socket of a proxy with one listener.
fn private(
    proxy: &Arc<FakeProxy>,
    directory: &tempfile::TempDir,
) -> (std::path::PathBuf, JoinHandle<Result<(), Failure>>) {
    let path = directory.path().join("private/socket");
    let bound = socket::bind(&path).expect("a socket");
    let listener = Listener::Unix(UnixListener::from_std(bound).expect("a listener"));
    let own = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let listen = Listen::Tcp(own.local_addr().expect("an address"));
    let sockets = move || {
        let socket = own.try_clone()?.into();
        Ok(vec![InheritedSocket { name: "orders".to_owned(), listen: listen.clone(), socket }])
    };
    let serving = tokio::spawn(serve(listener, Routes::Private, proxy.hooks(sockets)));
    (path, serving)
}

#[tokio::test]
async fn the_private_socket_serves_status_reload_and_shutdown() {
    let (proxy, directory) = (FakeProxy::new(), tempfile::tempdir().expect("a directory"));
    let (path, _serving) = private(&proxy, &directory);
    let request = async |method: &str| {
        request_on(UnixStream::connect(&path).await.expect("a connection"), method, "").await
    };
    let (_, status) = request("GET /status").await;
    assert_eq!(serde_json::from_str::<Status>(&status).expect("a status"), example());
    assert_eq!(request("GET /metrics").await.0, 200);
    assert_eq!(request("POST /reload").await, response(200, "settings reloaded"));
    *proxy.reload.lock().expect("no panic") = Ok(vec!["orders: the address is in use".to_owned()]);
    assert_eq!(
        request("POST /reload").await,
        response(200, "settings reloaded, with problems:\norders: the address is in use")
    );
    *proxy.reload.lock().expect("no panic") = Err(Failure::new(Class::Configuration, "line 3"));
    assert_eq!(
        request("POST /reload").await,
        response(422, "invalid configuration: line 3; nothing was changed")
    );
    assert_eq!(request("GET /reload").await.0, 405);
    assert_eq!((request("POST /quitquitquit").await.0, proxy.shutdowns()), (200, 1));
}

#[tokio::test]
async fn a_handover_ends_the_listener() {
    let (proxy, directory) = (FakeProxy::new(), tempfile::tempdir().expect("a directory"));
    let (path, serving) = private(&proxy, &directory);
    let idle = UnixStream::connect(&path).await.expect("an idle connection");
    let taken = handover::take(&path).await.expect("an answer").expect("a proxy");
    assert_eq!(
        taken.sockets.iter().map(|socket| socket.name.as_str()).collect::<Vec<_>>(),
        ["orders"]
    );
    taken.ready().await.expect("a confirmation");
    serving.await.expect("no panic").expect("no failure");
    assert!(proxy.gate.is_closed());
    drop(idle);
}

#[tokio::test]
async fn requests_are_served_while_the_proxy_drains() {
    let proxy = FakeProxy::new();
    let address = proxy.serve(HTTP, LIMITS).await;
    proxy.gate.close();
    proxy.change(|status| status.draining = true);
    assert_eq!(
        request(address, "GET /readiness").await,
        response(503, "the proxy is shutting down")
    );
}
