//! TCP listener of a proxy. Bytes are forwarded unchanged, so that TLS is end to end between
//! client and server.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use countersign_authority::accept;
use countersign_authority::model::Endpoint;
use countersign_core::name::ResourceId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Maximum number of open connections of one listener.
const MAX_OPEN: usize = 256;

/// Timeout for connecting to a target.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Returns the endpoint of a proxy's target, if it is available.
pub(crate) type ResolveTarget = Arc<dyn Fn() -> Option<Endpoint> + Send + Sync>;

/// Listeners of this authority's proxies, by resource id.
#[derive(Debug, Default)]
pub(crate) struct ProxyListeners(Mutex<HashMap<ResourceId, ProxyListener>>);

/// Listener of one proxy. Its connections are closed when it is dropped.
#[derive(Debug)]
pub(crate) struct ProxyListener {
    pub(crate) port: u16,
    _alive: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ProxyListener {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ProxyListeners {
    pub(crate) fn insert(&self, id: ResourceId, listener: ProxyListener) {
        self.lock().insert(id, listener);
    }

    pub(crate) fn remove(&self, id: &ResourceId) {
        self.lock().remove(id);
    }

    pub(crate) fn contains(&self, id: &ResourceId) -> bool {
        self.lock().contains_key(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ResourceId, ProxyListener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens for a proxy on the loopback addresses, on a free port if none is given.
pub(crate) fn listen(
    runtime: &Handle,
    id: &ResourceId,
    port: Option<u16>,
    resolve: ResolveTarget,
) -> io::Result<ProxyListener> {
    let _entered = runtime.enter();
    let bind = |address: SocketAddr| {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let ipv4 = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0))))?;
    let port = ipv4.local_addr()?.port();
    // The machine may have no IPv6.
    let ipv6 = bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let (alive, closed) = watch::channel(());
    let serve =
        |listener| runtime.spawn(serve(listener, id.clone(), Arc::clone(&resolve), closed.clone()));
    let tasks = [Ok(ipv4), ipv6].into_iter().filter_map(Result::ok).map(serve).collect();
    Ok(ProxyListener { port, _alive: alive, tasks })
}

async fn serve(
    listener: TcpListener,
    id: ResourceId,
    resolve: ResolveTarget,
    closed: watch::Receiver<()>,
) {
    let handle = |client| {
        let (id, resolve, mut closed) = (id.clone(), Arc::clone(&resolve), closed.clone());
        async move {
            tokio::select! {
                () = forward(client, &id, &resolve) => {}
                _ = closed.changed() => {}
            }
        }
    };
    accept::serve_bounded("proxy", MAX_OPEN, || listener.accept(), handle).await;
}

/// Forwards one connection. The client's connection is closed if the target is unavailable.
async fn forward(mut client: TcpStream, id: &ResourceId, resolve: &ResolveTarget) {
    let Some(target) = resolve() else {
        tracing::info!(proxy = %id, "connection closed: proxy has no available target");
        return;
    };
    let connect = TcpStream::connect((target.host.as_str(), target.port));
    match timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(mut server)) => {
            let _broken = copy_bidirectional(&mut client, &mut server).await;
        }
        Ok(Err(error)) => {
            tracing::info!(proxy = %id, %error, "connection closed: cannot connect to target");
        }
        Err(_) => {
            tracing::info!(proxy = %id, "connection closed: connecting to target timed out");
        }
    }
}
