//! Endpoints for operators: health and metrics, the admin port, the admin socket.

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

/// Command to a running proxy, from an HTTP request or a takeover.
#[derive(Debug)]
pub(super) enum AdminCommand {
    /// Shut down, as after SIGTERM.
    Shutdown,
    /// Reload the configuration, and reply with the problems of targets that could not be started.
    Reload(oneshot::Sender<Result<Vec<String>, Failure>>),
    /// Shut down because another process took over the listeners.
    StopReplaced,
}

/// Effective configuration as text, which a reload replaces.
pub(super) type SharedConfigText = Arc<Mutex<String>>;

/// Running servers of the operators' endpoints.
#[derive(Debug)]
pub(super) struct Administration {
    servers: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

/// Bound listener with its routes.
struct BoundEndpoint {
    routes: Routes,
    listener: Listener,
}

impl Administration {
    /// Binds the endpoints and serves them. Uses sockets of `inherited` if their addresses match.
    pub(super) fn start(
        proxy: &Proxy,
        operation: &Operation,
        commands: mpsc::Sender<AdminCommand>,
        config_text: SharedConfigText,
        inherited: &mut Vec<InheritedSocket>,
    ) -> Result<Self, Failure> {
        let mut endpoints = bind_tcp_endpoints(operation, inherited)?;
        let mut socket = None;
        if let Some(AdminSocket { path, is_explicit }) = &operation.admin_socket {
            match bind_unix(path, inherited) {
                Ok(endpoint) => {
                    endpoints.push(endpoint);
                    socket = Some(path.clone());
                }
                Err(failure) if *is_explicit => return Err(failure),
                // The default path may be in use by another proxy of the same user.
                Err(failure) => tracing::warn!(
                    "admin socket unavailable, status, shutdown and --takeover do not work: {}",
                    failure.detail
                ),
            }
        }
        let copies: Result<Vec<InheritedSocket>, io::Error> =
            endpoints.iter().map(|endpoint| endpoint.try_clone(socket.as_deref())).collect();
        let copies = copies.map_err(|error| {
            Failure::new(Class::Internal, format!("cannot duplicate a socket: {error}"))
        })?;
        let hooks = Arc::new(hooks(proxy, commands, config_text, copies));
        let serve = |BoundEndpoint { routes, listener }| {
            let hooks = Arc::clone(&hooks);
            tokio::spawn(async move {
                if let Err(failure) = admin::serve(listener, routes, hooks).await {
                    tracing::error!("admin endpoint failed: {}", failure.detail);
                }
            })
        };
        Ok(Self { servers: endpoints.into_iter().map(serve).collect(), socket })
    }

    /// Stops the servers and removes the admin socket, unless a successor already owns its path.
    pub(super) fn shutdown(self, is_replaced: bool) {
        self.servers.iter().for_each(JoinHandle::abort);
        let Some(path) = self.socket.filter(|_| !is_replaced) else {
            return;
        };
        if let Err(error) = countersign_unix_socket::remove(&path) {
            tracing::warn!("cannot remove the admin socket {}: {error}", path.display());
        }
    }
}

impl BoundEndpoint {
    /// Duplicates the socket for a handover. `admin_socket` is the path of the admin socket, which
    /// was bound under a temporary name.
    fn try_clone(&self, admin_socket: Option<&Path>) -> io::Result<InheritedSocket> {
        let (socket, listen) = match &self.listener {
            Listener::Tcp(listener) => {
                (listener.as_fd().try_clone_to_owned()?, Listen::Tcp(listener.local_addr()?))
            }
            Listener::Unix(listener) => (
                listener.as_fd().try_clone_to_owned()?,
                Listen::Unix(admin_socket.unwrap_or(Path::new("")).to_owned()),
            ),
        };
        Ok(InheritedSocket { name: self.routes.socket_name().to_owned(), listen, socket })
    }
}

/// Connects the endpoints to the proxy. `copies` are handed over with the targets' listeners.
fn hooks(
    proxy: &Proxy,
    commands: mpsc::Sender<AdminCommand>,
    config_text: SharedConfigText,
    copies: Vec<InheritedSocket>,
) -> AdminHooks {
    let (status, update, probe) = (proxy.clone(), proxy.clone(), proxy.clone());
    let (shutdown, reload) = (commands.clone(), commands.clone());
    AdminHooks {
        metrics: proxy.metrics().clone(),
        update_metrics: Box::new(move || update.update_metrics()),
        status: Box::new(move || status.status()),
        settings: Box::new(move || {
            config_text.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }),
        probe: Box::new(move || -> BoxFuture<()> {
            let proxy = probe.clone();
            Box::pin(async move {
                proxy.probe().await;
            })
        }),
        reload: Box::new(move || {
            let commands = reload.clone();
            Box::pin(async move { request_reload(&commands).await })
        }),
        shutdown: Box::new(move || send(&shutdown, AdminCommand::Shutdown)),
        handover: handover_server(proxy, commands, copies),
    }
}

fn handover_server(
    proxy: &Proxy,
    commands: mpsc::Sender<AdminCommand>,
    copies: Vec<InheritedSocket>,
) -> HandoverServer {
    let (sockets, stop, cancel) = (proxy.clone(), proxy.clone(), proxy.clone());
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
            stop.stop_accepting();
            send(&commands, AdminCommand::StopReplaced);
        },
        move |target, key| cancel.cancel(target, key),
    )
}

fn send(commands: &mpsc::Sender<AdminCommand>, command: AdminCommand) {
    // Fails if earlier commands fill the channel, or if the proxy already shuts down.
    if let Err(error) = commands.try_send(command) {
        tracing::debug!("admin command dropped: {error}");
    }
}

async fn request_reload(commands: &mpsc::Sender<AdminCommand>) -> Result<Vec<String>, Failure> {
    let stopping = || Failure::new(Class::Unavailable, "cannot reload: the proxy is shutting down");
    let (sender, reply) = oneshot::channel();
    commands.send(AdminCommand::Reload(sender)).await.map_err(|_| stopping())?;
    reply.await.map_err(|_| stopping())?
}

fn bind_tcp_endpoints(
    operation: &Operation,
    inherited: &mut Vec<InheritedSocket>,
) -> Result<Vec<BoundEndpoint>, Failure> {
    let http = operation
        .http
        .map(|http| (Routes::Http { health: http.health, metrics: http.metrics }, http.address));
    let admin = operation
        .admin
        .map(|admin| (Routes::Admin { quit: admin.quit, debug: admin.debug }, admin.address));
    [http, admin]
        .into_iter()
        .flatten()
        .map(|(routes, address)| bind_tcp(routes, address, inherited))
        .collect()
}

/// Takes the inherited socket of an endpoint. Drops one that listens on another address.
fn take_inherited(
    routes: Routes,
    listen: &Listen,
    sockets: &mut Vec<InheritedSocket>,
) -> Option<OwnedFd> {
    inherited::take(sockets, routes.socket_name())
        .filter(|socket| socket.listen == *listen)
        .map(|socket| socket.socket)
}

fn bind_tcp(
    routes: Routes,
    address: SocketAddr,
    sockets: &mut Vec<InheritedSocket>,
) -> Result<BoundEndpoint, Failure> {
    let mut listen = || {
        let listener = match take_inherited(routes, &Listen::Tcp(address), sockets) {
            Some(socket) => std::net::TcpListener::from(socket),
            None => std::net::TcpListener::bind(address)?,
        };
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let listener = listen().map_err(|error: io::Error| {
        Failure::new(
            Class::Configuration,
            format!("cannot listen on {address} for operators: {error}"),
        )
    })?;
    Ok(BoundEndpoint { routes, listener: Listener::Tcp(listener) })
}

fn bind_unix(path: &Path, sockets: &mut Vec<InheritedSocket>) -> Result<BoundEndpoint, Failure> {
    let routes = Routes::Private;
    let listener = match take_inherited(routes, &Listen::Unix(path.to_owned()), sockets) {
        Some(socket) => std::os::unix::net::UnixListener::from(socket),
        None => admin::socket::bind(path)?,
    };
    let listen = |listener: std::os::unix::net::UnixListener| {
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    };
    let listener = listen(listener).map_err(|error: io::Error| {
        let detail = format!("cannot use the admin socket {}: {error}", path.display());
        Failure::new(Class::Internal, detail)
    })?;
    Ok(BoundEndpoint { routes, listener: Listener::Unix(listener) })
}
