//! What operators of a proxy are answered by: health and metrics, the admin port, the admin socket.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use countersign_core::failure::{Class, Failure};
use countersign_proxy::admin::{self, AdminHooks, BoxFuture, Listener, Routes};
use countersign_proxy::handover::HandoverServer;
use countersign_proxy::settings::Listen;
use countersign_proxy::{InheritedSocket, Proxy, inherited};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::plan::{AdminSocket, Operation};

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

/// The listeners for operators, and who answers there.
#[derive(Debug)]
pub(super) struct Administration {
    answering: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

/// A listener before anybody answers there.
struct Post {
    routes: Routes,
    listener: Listener,
}

impl Administration {
    /// Listens and answers. What is among `sockets` for these listeners is taken from there.
    pub(super) fn start(
        proxy: &Proxy,
        operation: &Operation,
        orders: mpsc::Sender<Order>,
        shown: Shown,
        sockets: &mut Vec<InheritedSocket>,
    ) -> Result<Self, Failure> {
        let mut posts = Vec::new();
        if let Some(http) = operation.http {
            posts.push(tcp(
                Routes::Http { health: http.health, metrics: http.metrics },
                http.address,
                sockets,
            )?);
        }
        if let Some(admin) = operation.admin {
            posts.push(tcp(
                Routes::Admin { quit: admin.quit, debug: admin.debug },
                admin.address,
                sockets,
            )?);
        }
        let mut socket = None;
        if let Some(AdminSocket { path, is_named }) = &operation.admin_socket {
            match unix(path, sockets) {
                Ok(post) => {
                    posts.push(post);
                    socket = Some(path.clone());
                }
                Err(failure) if *is_named => return Err(failure),
                // Where nobody asked for it, it is no reason not to serve: a second proxy of the same user, say.
                Err(failure) => tracing::warn!(
                    "status, shutdown and --takeover won't find this proxy: {}",
                    failure.detail
                ),
            }
        }
        let copies: Result<Vec<InheritedSocket>, io::Error> =
            posts.iter().map(|post| post.copy(socket.as_deref())).collect();
        let copies = copies.map_err(|error| {
            Failure::new(Class::Internal, format!("a socket can't be duplicated: {error}"))
        })?;
        let operated = Arc::new(operated(proxy, orders, shown, copies));
        let answer = |Post { routes, listener }| {
            let operated = Arc::clone(&operated);
            tokio::spawn(async move {
                if let Err(failure) = admin::serve(listener, routes, operated).await {
                    tracing::error!("operators are not answered: {}", failure.detail);
                }
            })
        };
        Ok(Self { answering: posts.into_iter().map(answer).collect(), socket })
    }

    /// The end of it. A proxy that has taken over has the socket's path by now.
    pub(super) fn end(self, is_replaced: bool) {
        self.answering.iter().for_each(JoinHandle::abort);
        let Some(path) = self.socket.filter(|_| !is_replaced) else {
            return;
        };
        if let Err(error) = countersign_unix_socket::remove(&path) {
            tracing::warn!("{} can't be taken away: {error}", path.display());
        }
    }
}

impl Post {
    /// The same socket once more, to be handed over. The admin socket was bound under another name than it has.
    fn copy(&self, path: Option<&Path>) -> io::Result<InheritedSocket> {
        let (socket, listen) = match &self.listener {
            Listener::Tcp(listener) => {
                (listener.as_fd().try_clone_to_owned()?, Listen::Tcp(listener.local_addr()?))
            }
            Listener::Unix(listener) => (
                listener.as_fd().try_clone_to_owned()?,
                Listen::Unix(path.unwrap_or(Path::new("")).to_owned()),
            ),
        };
        Ok(InheritedSocket { name: self.routes.socket_name().to_owned(), listen, socket })
    }
}

/// What operators look at and do. `copies` are handed over beside the listeners of the targets.
fn operated(
    proxy: &Proxy,
    orders: mpsc::Sender<Order>,
    shown: Shown,
    copies: Vec<InheritedSocket>,
) -> AdminHooks {
    let (status, update, probe) = (proxy.clone(), proxy.clone(), proxy.clone());
    let (quit, reload) = (orders.clone(), orders.clone());
    AdminHooks {
        metrics: proxy.metrics().clone(),
        update_metrics: Box::new(move || update.update_metrics()),
        status: Box::new(move || status.status()),
        settings: Box::new(move || shown.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        probe: Box::new(move || -> BoxFuture<()> {
            let proxy = probe.clone();
            Box::pin(async move {
                proxy.probe().await;
            })
        }),
        reload: Box::new(move || {
            let orders = reload.clone();
            Box::pin(async move { ask_to_reload(&orders).await })
        }),
        shutdown: Box::new(move || order(&quit, Order::Quit)),
        handover: offer(proxy, orders, copies),
    }
}

fn offer(
    proxy: &Proxy,
    orders: mpsc::Sender<Order>,
    copies: Vec<InheritedSocket>,
) -> HandoverServer {
    let (sockets, leave, cancel) = (proxy.clone(), proxy.clone(), proxy.clone());
    HandoverServer::new(
        proxy.accept_gate(),
        move || {
            sockets
                .handover_sockets()?
                .into_iter()
                .map(Ok)
                .chain(copies.iter().map(InheritedSocket::try_clone))
                .collect()
        },
        move || {
            leave.stop_accepting();
            order(&orders, Order::Leave);
        },
        move |target, key| cancel.cancel(target, key),
    )
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

/// The socket of that name where it listens there; another than the settings ask for is of no use.
fn found(routes: Routes, listen: &Listen, sockets: &mut Vec<InheritedSocket>) -> Option<OwnedFd> {
    inherited::take(sockets, routes.socket_name())
        .filter(|socket| socket.listen == *listen)
        .map(|socket| socket.socket)
}

fn tcp(
    routes: Routes,
    address: SocketAddr,
    sockets: &mut Vec<InheritedSocket>,
) -> Result<Post, Failure> {
    let mut listen = || {
        let listener = match found(routes, &Listen::Tcp(address), sockets) {
            Some(socket) => std::net::TcpListener::from(socket),
            None => std::net::TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let unusable = |error: io::Error| {
        Failure::new(
            Class::Configuration,
            format!("operators can't be answered at {address}: {error}"),
        )
    };
    listen().map_err(unusable).map(|listener| Post { routes, listener: Listener::Tcp(listener) })
}

fn unix(path: &Path, sockets: &mut Vec<InheritedSocket>) -> Result<Post, Failure> {
    let listener = match found(Routes::Private, &Listen::Unix(path.to_owned()), sockets) {
        Some(socket) => std::os::unix::net::UnixListener::from(socket),
        None => admin::socket::bind(path)?,
    };
    let listen = |listener: std::os::unix::net::UnixListener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    };
    let unusable = |error: io::Error| {
        Failure::new(Class::Internal, format!("the admin socket {}: {error}", path.display()))
    };
    listen(listener)
        .map_err(unusable)
        .map(|listener| Post { routes: Routes::Private, listener: Listener::Unix(listener) })
}
