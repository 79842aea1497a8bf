//! What starts a proxy: sockets, runtime, the gateway.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use countersign_connect::clock::Clock;
use countersign_connect::resolve::Resolver;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::handover::{self, Takeover};
use countersign_proxy::settings::{ClientAuth, Listen, Settings};
use countersign_proxy::{Context, InheritedSocket, Problem, Proxy, Workers, activation};

use super::plan::Operation;

/// A runtime for all but the clients, which [`Workers`] serve.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|error| Failure::new(Class::Internal, format!("no runtime: {error}")))
}

/// Starts a proxy.
pub(crate) async fn start(
    settings: Settings,
    inherited: Vec<InheritedSocket>,
) -> Result<(Proxy, Vec<Problem>), Failure> {
    let workers = Workers::for_this_machine();
    let workers = workers.map_err(|error| {
        Failure::new(Class::Internal, format!("no threads to serve clients on: {error}"))
    })?;
    let environment_region = crate::signing::environment_region();
    let context = Context {
        clock: Clock::system(),
        resolver: Resolver::system(),
        workers,
        environment_region,
    };
    let mut problems = make_directories(&settings);
    let (proxy, others) = Proxy::start(settings, context, inherited).await;
    problems.extend(others);
    Ok((proxy, problems))
}

/// Applies other settings.
pub(super) fn change(proxy: &Proxy, settings: Settings) -> Vec<Problem> {
    let mut problems = make_directories(&settings);
    problems.extend(proxy.reload(settings));
    problems
}

/// The directories of Unix sockets, which only their owner may enter unless others of the machine are let in.
fn make_directories(settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    for target in &settings.targets {
        let mode = if matches!(target.client_auth, ClientAuth::Users(_)) { 0o755 } else { 0o700 };
        for listen in &target.listen {
            let Listen::Unix(path) = listen else { continue };
            let Some(directory) = path.parent() else {
                continue;
            };
            if let Err(error) = DirBuilder::new().recursive(true).mode(mode).create(directory) {
                let failure = Failure::new(
                    Class::Configuration,
                    format!("{} can't be made: {error}", directory.display()),
                );
                problems.push(Problem { target: target.name.clone(), failure });
            }
        }
    }
    problems
}

/// The listening sockets that the process was started with. Before there are threads.
pub(super) fn activated() -> Result<Vec<InheritedSocket>, Failure> {
    let [count, names] = ["LISTEN_FDS", "LISTEN_FDNAMES"].map(super::variable);
    activation::inherited(count.as_deref(), names.as_deref())
}

/// Where the targets of a proxy listen, with the ports that they have.
pub(crate) fn listeners(proxy: &Proxy) -> Result<Vec<(String, Listen)>, Failure> {
    let sockets = proxy.listeners().map_err(|error| {
        Failure::new(Class::Internal, format!("the listeners can't be read: {error}"))
    })?;
    Ok(sockets.into_iter().map(|socket| (socket.name, socket.listen)).collect())
}

/// What was taken from the proxy that has the admin socket; none where there is none.
pub(super) async fn take_over(operation: &Operation) -> Result<Option<Takeover>, Failure> {
    let missing = || {
        Failure::new(
            Class::Configuration,
            "there is no XDG_RUNTIME_DIR to look for a proxy in: pass --admin-socket",
        )
    };
    handover::take(&operation.admin_socket.as_ref().ok_or_else(missing)?.path).await
}
