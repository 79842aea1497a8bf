//! What of the gateway the command line stands on: everything that starts, changes and ends a proxy goes through here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_connect::clock::Clock;
use countersign_connect::resolve::Resolver;
use countersign_core::failure::{Class, Failure};
use countersign_gateway::admin::{self, Listener, Operated, Pending, Routes};
use countersign_gateway::handover::{self, Offer};
use countersign_gateway::settings::{Listen, Settings};
use countersign_gateway::{Context, Inherited, Problem, Proxy, activation};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::plan::{AdminSocket, Operation};

/// How long the proxy that was taken over from may take to let go of its ports for operators.
const RELEASE_TIME: Duration = Duration::from_secs(5);

/// How often it is tried meanwhile.
const RELEASE_PERIOD: Duration = Duration::from_millis(50);

/// What somebody asks of a proxy that runs, over HTTP or by a takeover.
#[derive(Debug)]
pub(super) enum Order {
    /// End, as after a signal.
    Quit,
    /// Read the settings again, and say what came of it: a sentence for each target that could not be brought up.
    Reload(oneshot::Sender<Result<Vec<String>, Failure>>),
    /// End: another process has the listeners.
    Leave,
}

/// What people may read of the settings; it changes when they do.
pub(super) type Shown = Arc<Mutex<String>>;

/// A runtime of as many threads as there are processors.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.map_err(|error| Failure::new(Class::Internal, format!("no runtime: {error}")))
}

/// Starts a proxy.
pub(crate) async fn start(settings: Settings, inherited: Vec<Inherited>) -> (Proxy, Vec<Problem>) {
    let environment_region = crate::signing::environment_region();
    let context = Context { clock: Clock::system(), resolver: Resolver::system(), environment_region };
    Proxy::start(settings, context, inherited).await
}

/// The listening sockets that the process was started with. Before there are threads.
pub(super) fn activated() -> Result<Vec<Inherited>, Failure> {
    let [count, names] = ["LISTEN_FDS", "LISTEN_FDNAMES"].map(super::variable);
    activation::inherited(count.as_deref(), names.as_deref())
}

/// Where the targets of a proxy listen, with the ports that they have.
pub(crate) fn listeners(proxy: &Proxy) -> Result<Vec<(String, Listen)>, Failure> {
    let sockets = proxy.listeners().map_err(|error| Failure::new(Class::Internal, format!("the listeners can't be read: {error}")))?;
    Ok(sockets.into_iter().map(|socket| (socket.name, socket.listen)).collect())
}

/// What was taken from the proxy that has the admin socket; none where there is none.
pub(super) async fn take_over(operation: &Operation) -> Result<Option<handover::Taken>, Failure> {
    let missing = || Failure::new(Class::Configuration, "there is no XDG_RUNTIME_DIR to look for a proxy in: pass --admin-socket");
    handover::take(&operation.admin_socket.as_ref().ok_or_else(missing)?.path).await
}

/// What operators are answered by, until the proxy's door closes.
#[derive(Debug)]
pub(super) struct Administration {
    listeners: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl Administration {
    /// Serves health, metrics and administration. `is_successor` is for a proxy that has taken over from one whose ports these
    /// may be a moment longer.
    pub(super) async fn start(
        proxy: &Proxy,
        operation: &Operation,
        orders: mpsc::Sender<Order>,
        shown: Shown,
        is_successor: bool,
    ) -> Result<Self, Failure> {
        let operated = Arc::new(operated(proxy, orders, shown));
        let patience = if is_successor { RELEASE_TIME } else { Duration::ZERO };
        let mut administration = Self { listeners: Vec::new(), socket: None };
        if let Some(http) = operation.http {
            let routes = Routes::Http { health: http.health, metrics: http.metrics };
            administration.serve(Listener::Tcp(tcp(http.address, patience).await?), routes, &operated);
        }
        if let Some(admin) = operation.admin {
            let routes = Routes::Admin { quit: admin.quit, debug: admin.debug };
            administration.serve(Listener::Tcp(tcp(admin.address, patience).await?), routes, &operated);
        }
        if let Some(AdminSocket { path, is_named }) = &operation.admin_socket {
            match unix(path, patience).await {
                Ok(listener) => {
                    administration.serve(Listener::Unix(listener), Routes::Private, &operated);
                    administration.socket = Some(path.clone());
                }
                Err(failure) if *is_named => return Err(failure),
                // Where nobody asked for it, it is no reason not to serve: a second proxy of the same user, say.
                Err(failure) => tracing::warn!("status, shutdown and --takeover won't find this proxy: {}", failure.detail),
            }
        }
        Ok(administration)
    }

    fn serve(&mut self, listener: Listener, routes: Routes, operated: &Arc<Operated>) {
        let operated = Arc::clone(operated);
        self.listeners.push(tokio::spawn(async move {
            if let Err(failure) = admin::serve(listener, routes, operated).await {
                tracing::error!("operators are not answered: {}", failure.detail);
            }
        }));
    }

    /// The end of it. Another proxy that has taken over has the socket's path by now.
    pub(super) fn end(self, is_replaced: bool) {
        self.listeners.iter().for_each(JoinHandle::abort);
        let Some(path) = self.socket.filter(|_| !is_replaced) else { return };
        if let Err(error) = admin::socket::remove(&path) {
            tracing::warn!("{} can't be taken away: {error}", path.display());
        }
    }
}

/// What operators look at and do.
fn operated(proxy: &Proxy, orders: mpsc::Sender<Order>, shown: Shown) -> Operated {
    let (status, refresh, probe, sockets, leave) = (proxy.clone(), proxy.clone(), proxy.clone(), proxy.clone(), proxy.clone());
    let (quit, left, reload) = (orders.clone(), orders.clone(), orders);
    Operated {
        metrics: proxy.metrics().clone(),
        refresh: Box::new(move || refresh.refresh()),
        status: Box::new(move || status.status()),
        settings: Box::new(move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        probe: Box::new(move || -> Pending<()> {
            let proxy = probe.clone();
            Box::pin(async move {
                proxy.probe().await;
            })
        }),
        reload: Box::new(move || {
            let orders = reload.clone();
            Box::pin(async move { ask_to_reload(&orders).await })
        }),
        quit: Box::new(move || order(&quit, Order::Quit)),
        offer: Offer::new(
            proxy.door(),
            move || sockets.listeners(),
            move || {
                leave.leave();
                order(&left, Order::Leave);
            },
        ),
    }
}

fn order(orders: &mpsc::Sender<Order>, order: Order) {
    // Where there is no room, others have ordered before; where nobody listens, the proxy ends already.
    if let Err(error) = orders.try_send(order) {
        tracing::debug!("an order came too late: {error}");
    }
}

async fn ask_to_reload(orders: &mpsc::Sender<Order>) -> Result<Vec<String>, Failure> {
    let ending = || Failure::new(Class::Unavailable, "the proxy is ending");
    let (sender, answer) = oneshot::channel();
    orders.send(Order::Reload(sender)).await.map_err(|_| ending())?;
    answer.await.map_err(|_| ending())?
}

async fn tcp(address: SocketAddr, patience: Duration) -> Result<TcpListener, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if Instant::now() >= deadline => {
                return Err(Failure::new(Class::Configuration, format!("operators can't be answered at {address}: {error}")));
            }
            Err(_) => sleep(RELEASE_PERIOD).await,
        }
    }
}

async fn unix(path: &Path, patience: Duration) -> Result<UnixListener, Failure> {
    let deadline = Instant::now() + patience;
    loop {
        let bound = admin::socket::bind(path).and_then(|listener| {
            let unusable = |error| Failure::new(Class::Internal, format!("the admin socket {}: {error}", path.display()));
            UnixListener::from_std(listener).map_err(unusable)
        });
        match bound {
            Err(_) if Instant::now() < deadline => sleep(RELEASE_PERIOD).await,
            bound => return bound,
        }
    }
}
