//! What listens for a proxy: bytes go to its target and back as they are, so that TLS reaches from the client to the server.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use countersign_core::name::ResourceId;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::job_runner::JobRunner;
use super::proxy;
use countersign_authority::accept;

/// The most connections through one proxy and listener.
const MAX_OPEN: usize = 256;

/// How long a target may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The listeners of this authority's proxies, by resource id.
#[derive(Debug, Default)]
pub(super) struct ProxyListeners(Mutex<HashMap<ResourceId, ProxyListener>>);

/// What listens for one proxy. Its connections end when it is dropped.
#[derive(Debug)]
pub(super) struct ProxyListener {
    pub(super) port: u16,
    _alive: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for ProxyListener {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ProxyListeners {
    pub(super) fn keep(&self, id: ResourceId, relay: ProxyListener) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, relay);
    }

    pub(super) fn end(&self, id: &ResourceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    pub(super) fn runs(&self, id: &ResourceId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(id)
    }
}

/// Listens for a proxy on the loopback addresses; on a free port where none is given.
pub(super) fn listen(
    runner: &Arc<JobRunner>,
    runtime: &Handle,
    id: &ResourceId,
    port: Option<u16>,
) -> io::Result<ProxyListener> {
    let _entered = runtime.enter();
    let bind = |address: SocketAddr| {
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    let first = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or(0))))?;
    let port = first.local_addr()?.port();
    // A machine may have no IPv6.
    let second = bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    let (alive, watched) = watch::channel(());
    let serve = |listener| {
        runtime.spawn(serve(listener, Arc::downgrade(runner), id.clone(), watched.clone()))
    };
    let tasks = [Ok(first), second].into_iter().filter_map(Result::ok).map(serve).collect();
    Ok(ProxyListener { port, _alive: alive, tasks })
}

async fn serve(
    listener: TcpListener,
    runner: Weak<JobRunner>,
    id: ResourceId,
    alive: watch::Receiver<()>,
) {
    let relay = |client| {
        let (runner, id, mut alive) = (Weak::clone(&runner), id.clone(), alive.clone());
        async move {
            tokio::select! {
                () = carry(client, &runner, &id) => {}
                _ = alive.changed() => {}
            }
        }
    };
    accept::serve_bounded("proxy", MAX_OPEN, || listener.accept(), relay).await;
}

/// Carries one connection. A client whose target can't be reached is hung up on.
async fn carry(mut client: TcpStream, runner: &Weak<JobRunner>, id: &ResourceId) {
    let Some(target) =
        runner.upgrade().and_then(|runner| proxy::target(&*runner.store().state().ok()?, id))
    else {
        tracing::info!(proxy = %id, "a proxy has no target that is available");
        return;
    };
    let connected =
        timeout(PATIENCE, TcpStream::connect((target.host.as_str(), target.port))).await;
    match connected {
        Ok(Ok(mut server)) => {
            let _broken = copy_bidirectional(&mut client, &mut server).await;
        }
        Ok(Err(error)) => {
            tracing::info!(proxy = %id, %error, "the target of a proxy can't be reached")
        }
        Err(_) => tracing::info!(proxy = %id, "the target of a proxy did not answer in time"),
    }
}
