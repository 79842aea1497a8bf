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
use crate::handover::{self, AcceptGate};
use crate::health::FAILURES;
use crate::inherited::{self, InheritedSocket};
use crate::settings::{Access, Listen, Password};
use crate::status::tests::example;
use crate::status::{LastFailure, Target};

/// A proxy of which there is no more than what can be asked.
pub(super) struct Stage {
    pub(super) status: Mutex<Status>,
    quits: AtomicUsize,
    probes: AtomicUsize,
    reload: Mutex<Result<Vec<String>, Failure>>,
    pub(super) door: AcceptGate,
}

impl Stage {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            status: Mutex::new(example()),
            quits: AtomicUsize::new(0),
            probes: AtomicUsize::new(0),
            reload: Mutex::new(Ok(Vec::new())),
            door: AcceptGate::default(),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.status.lock().expect("no panic"));
    }

    fn quits(&self) -> usize {
        self.quits.load(Ordering::Relaxed)
    }

    fn operated(
        self: &Arc<Self>,
        sockets: impl Fn() -> std::io::Result<Vec<InheritedSocket>> + Send + Sync + 'static,
    ) -> Arc<AdminHooks> {
        let [status, probe, reload, quit, refresh] = [(); 5].map(|()| Arc::clone(self));
        let metrics = Metrics::default();
        let gauges = metrics.clone();
        let access =
            Access::Password(Arc::new(Password(Secret::new("swordfish").expect("not empty"))));
        Arc::new(AdminHooks {
            metrics,
            refresh: Box::new(move || {
                gauges
                    .target("orders")
                    .login_queue
                    .set(refresh.probes.load(Ordering::Relaxed) as i64 + 3)
            }),
            status: Box::new(move || status.status.lock().expect("no panic").clone()),
            settings: Box::new(move || format!("{access:#?}")),
            probe: Box::new(move || {
                probe.probes.fetch_add(1, Ordering::Relaxed);
                Box::pin(async {})
            }),
            reload: Box::new(move || {
                let outcome = reload.reload.lock().expect("no panic").clone();
                Box::pin(async { outcome })
            }),
            quit: Box::new(move || _ = quit.quits.fetch_add(1, Ordering::Relaxed)),
            offer: HandoverServer::new(self.door.clone(), sockets, || {}, |_, _| {}),
        })
    }

    /// Serves `routes` on a port of its own.
    pub(super) async fn serve(self: &Arc<Self>, routes: Routes, limits: Limits) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(serve_within(
            Listener::Tcp(listener),
            routes,
            self.operated(|| Ok(Vec::new())),
            limits,
        ));
        address
    }
}

pub(super) const HTTP: Routes = Routes::Http { health: true, metrics: true };
const ADMIN: Routes = Routes::Admin { quit: true, debug: true };

/// The status and the body of the answer to a request: `method` and path, and lines of its head.
async fn ask_on(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    head: &str,
) -> (u16, String) {
    stream
        .write_all(format!("{method} HTTP/1.1\r\nconnection: close\r\n{head}\r\n").as_bytes())
        .await
        .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let status = answer
        .get(9..12)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("a status: {answer}"));
    (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

pub(super) async fn ask(address: SocketAddr, method: &str) -> (u16, String) {
    ask_on(TcpStream::connect(address).await.expect("a connection"), method, "host: localhost\r\n")
        .await
}

fn refused(status: u16, body: &str) -> (u16, String) {
    (status, format!("{body}\n"))
}

#[tokio::test]
async fn a_healthy_proxy_is_up_ready_and_alive() {
    let address = Stage::new().serve(HTTP, Limits::USUAL).await;
    for page in
        ["/startup", "/readiness", "/liveness", "/readiness?min-ready=1", "/readiness?verbose"]
    {
        assert_eq!(ask(address, &format!("GET {page}")).await, refused(200, "ok"), "{page}");
    }
    assert_eq!(ask(address, "HEAD /liveness").await, (200, String::new()));
    let (status, metrics) = ask(address, "GET /metrics").await;
    assert_eq!(status, 200);
    assert!(metrics.contains("countersign_proxy_login_queue{target=\"orders\"} 3"), "{metrics}");
    assert_eq!(ask(address, "POST /startup").await, refused(405, "only GET will do"));
    for page in [
        "GET /",
        "GET /status",
        "GET /debug/sessions",
        "POST /quitquitquit",
        "POST /reload",
        "GET /startup/",
    ] {
        assert_eq!(ask(address, page).await, refused(404, "there is no such page"), "{page}");
    }
}

#[tokio::test]
async fn what_is_not_switched_on_is_not_there() {
    let stage = Stage::new();
    let address = stage.serve(Routes::Http { health: false, metrics: true }, Limits::USUAL).await;
    assert_eq!(ask(address, "GET /liveness").await.0, 404);
    let address = stage.serve(Routes::Http { health: true, metrics: false }, Limits::USUAL).await;
    assert_eq!(ask(address, "GET /metrics").await.0, 404);
    let address = stage.serve(Routes::Admin { quit: false, debug: false }, Limits::USUAL).await;
    assert_eq!(
        (ask(address, "POST /quitquitquit").await.0, ask(address, "GET /debug/tasks").await.0),
        (404, 404)
    );
    assert_eq!(stage.quits(), 0);
}

#[tokio::test]
async fn a_proxy_is_up_once_each_listener_was_tried() {
    let stage = Stage::new();
    let address = stage.serve(HTTP, Limits::USUAL).await;
    stage.change(|status| status.up = false);
    assert_eq!(ask(address, "GET /startup").await, refused(503, "the proxy is starting"));
    assert_eq!(ask(address, "GET /readiness").await, refused(503, "the proxy is starting"));
    stage.change(|status| {
        status.up = true;
        status.targets[0].listeners[0].failure = Some("the address is in use".to_owned());
    });
    assert_eq!(
        ask(address, "GET /startup").await,
        refused(200, "ok, but\norders: does not listen on 127.0.0.1:5432")
    );
    assert_eq!(ask(address, "GET /readiness").await.0, 503);
}

#[tokio::test]
async fn a_proxy_that_stops_or_is_full_is_not_ready_but_alive() {
    let stage = Stage::new();
    let address = stage.serve(HTTP, Limits::USUAL).await;
    stage.change(|status| status.connections = 2);
    assert_eq!(
        ask(address, "GET /readiness").await,
        refused(503, "2 connections are open, and no more may be")
    );
    stage.change(|status| status.draining = true);
    let (status, body) = ask(address, "GET /readiness").await;
    assert_eq!((status, body.lines().next()), (503, Some("the proxy is stopping")));
    assert_eq!(ask(address, "GET /liveness").await.0, 200);
}

/// Like `target`, but nobody can log in.
fn broken(target: &Target) -> Target {
    let detail = "nobody listens on secret-host.example:5432".to_owned();
    let failure = LastFailure {
        class: Class::Unavailable,
        detail,
        at: SystemTime::UNIX_EPOCH,
        consecutive_failures: FAILURES,
    };
    let health = crate::status::Health { healthy: false, last_login: None, failure: Some(failure) };
    Target { name: "billing".to_owned(), health, ..target.clone() }
}

#[tokio::test]
async fn a_target_that_fails_is_named_and_tried_again() {
    let stage = Stage::new();
    let address = stage.serve(HTTP, Limits::USUAL).await;
    stage.change(|status| {
        let other = broken(&status.targets[0]);
        status.targets.push(other);
    });
    let why = "billing: cannot connect (unavailable); 3 logins in a row have failed";
    let not_ready = refused(503, &format!("1 of 2 targets are ready, and 2 have to be\n{why}"));
    assert_eq!(ask(address, "GET /readiness").await, not_ready);
    assert_eq!(ask(address, "GET /readiness").await, not_ready);
    assert_eq!(stage.probes.load(Ordering::Relaxed), 1, "not at every request");
    assert_eq!(
        ask(address, "GET /readiness?min-ready=1").await,
        refused(200, &format!("ok, but\n{why}"))
    );
    for wrong in ["0", "3", "-1", "one", "", "1&min-ready=1"] {
        assert_eq!(
            ask(address, &format!("GET /readiness?min-ready={wrong}")).await.0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_admin_port_stops_the_proxy_and_shows_what_it_does() {
    let stage = Stage::new();
    let address = stage.serve(ADMIN, Limits::USUAL).await;
    assert_eq!(ask(address, "GET /quitquitquit").await, refused(405, "only POST will do"));
    assert_eq!(stage.quits(), 0);
    assert_eq!(ask(address, "POST /quitquitquit").await, refused(200, "the proxy stops"));
    assert_eq!(stage.quits(), 1);
    let (_, sessions) = ask(address, "GET /debug/sessions").await;
    assert_eq!(
        serde_json::from_str::<Vec<crate::status::Session>>(&sessions).expect("sessions"),
        example().sessions
    );
    let (_, tasks) = ask(address, "GET /debug/tasks").await;
    assert!(tasks.contains("\"clients\":[1,0]") && tasks.contains("\"alive\":"), "{tasks}");
    let (_, settings) = ask(address, "GET /debug/settings").await;
    assert!(settings.contains("Password") && !settings.contains("swordfish"), "{settings}");
}

#[tokio::test]
async fn no_web_page_stops_the_proxy() {
    let stage = Stage::new();
    let address = stage.serve(ADMIN, Limits::USUAL).await;
    for head in [
        "host: evil.example\r\n",
        "host: localhost\r\norigin: null\r\n",
        "host: localhost\r\nsec-fetch-site: cross-site\r\n",
        "",
    ] {
        let stream = TcpStream::connect(address).await.expect("a connection");
        assert_eq!(ask_on(stream, "POST /quitquitquit", head).await.0, 403, "{head}");
        let stream = TcpStream::connect(address).await.expect("a connection");
        assert_eq!(ask_on(stream, "GET /debug/sessions", head).await.0, 403, "{head}");
    }
    assert_eq!(stage.quits(), 0);
}

#[tokio::test]
async fn what_changes_something_is_not_served_to_other_machines() {
    let proxy = Stage::new().operated(|| Ok(Vec::new()));
    for routes in [ADMIN, Routes::Private] {
        let listener = TcpListener::bind("0.0.0.0:0").await.expect("a listener");
        let failure =
            serve(Listener::Tcp(listener), routes, Arc::clone(&proxy)).await.expect_err("refused");
        assert_eq!(failure.class, Class::Configuration);
    }
}

/// The private socket of a proxy that has a listener.
fn private(
    stage: &Arc<Stage>,
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
    let serving = tokio::spawn(serve(listener, Routes::Private, stage.operated(sockets)));
    (path, serving)
}

#[tokio::test]
async fn the_private_socket_tells_reloads_and_stops() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().expect("a directory"));
    let (path, _serving) = private(&stage, &directory);
    let ask = async |method: &str| {
        ask_on(UnixStream::connect(&path).await.expect("a connection"), method, "").await
    };
    let (_, status) = ask("GET /status").await;
    assert_eq!(serde_json::from_str::<Status>(&status).expect("a status"), example());
    assert_eq!(ask("GET /metrics").await.0, 200);
    assert_eq!(ask("POST /reload").await, refused(200, "the settings are applied"));
    *stage.reload.lock().expect("no panic") = Ok(vec!["orders: the address is in use".to_owned()]);
    assert_eq!(
        ask("POST /reload").await,
        refused(200, "the settings are applied, but\norders: the address is in use")
    );
    *stage.reload.lock().expect("no panic") = Err(Failure::new(Class::Configuration, "line 3"));
    assert_eq!(
        ask("POST /reload").await,
        refused(422, "invalid configuration: line 3; nothing was changed")
    );
    assert_eq!(ask("GET /reload").await.0, 405);
    assert_eq!((ask("POST /quitquitquit").await.0, stage.quits()), (200, 1));
}

#[tokio::test]
async fn the_private_socket_hands_the_listeners_over_once_and_ends() {
    let (stage, directory) = (Stage::new(), tempfile::tempdir().expect("a directory"));
    let (path, serving) = private(&stage, &directory);
    let silent = UnixStream::connect(&path).await.expect("a connection that says nothing");
    let taken = handover::take(&path).await.expect("an answer").expect("a proxy");
    assert_eq!(
        taken.sockets.iter().map(|socket| socket.name.as_str()).collect::<Vec<_>>(),
        ["orders"]
    );
    taken.ready().await.expect("handed over");
    serving.await.expect("no panic").expect("it served");
    assert!(stage.door.is_closed());
    drop(silent);
}

#[tokio::test]
async fn operators_are_answered_while_the_proxy_drains() {
    let stage = Stage::new();
    let address = stage.serve(HTTP, Limits::USUAL).await;
    stage.door.close();
    stage.change(|status| status.draining = true);
    assert_eq!(ask(address, "GET /readiness").await, refused(503, "the proxy is stopping"));
}

#[tokio::test]
async fn a_listener_for_operators_is_handed_over_as_well() {
    let directory = tempfile::tempdir().expect("a directory");
    let tcp = Listener::Tcp(TcpListener::bind("127.0.0.1:0").await.expect("a listener"));
    let unix =
        Listener::Unix(UnixListener::bind(directory.path().join("socket")).expect("a listener"));
    let mut sockets = vec![
        tcp.duplicate(HTTP).expect("a duplicate"),
        unix.duplicate(Routes::Private).expect("a duplicate"),
    ];
    drop((tcp, unix));
    assert!(inherited::take(&mut sockets, ADMIN.socket_name()).is_none());
    let http = inherited::take(&mut sockets, HTTP.socket_name()).expect("it was handed over");
    let Listen::Tcp(address) = http.listen else { panic!("{http:?}") };
    let listener = Listener::inherited(http).expect("a listener");
    tokio::spawn(serve(listener, HTTP, Stage::new().operated(|| Ok(Vec::new()))));
    assert_eq!(ask(address, "GET /liveness").await, refused(200, "ok"));
    let private =
        inherited::take(&mut sockets, Routes::Private.socket_name()).expect("it was handed over");
    assert!(Listener::inherited(private).expect("a listener").is_unix());
}
