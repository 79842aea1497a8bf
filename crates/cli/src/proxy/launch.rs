//! Startup of a proxy: runtime, directories, listeners, takeover.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use countersign_connect::clock::Clock;
use countersign_connect::resolve::Resolver;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::handover::{self, Takeover};
use countersign_proxy::settings::{ClientAuth, Listen, Settings};
use countersign_proxy::{Context, InheritedSocket, Problem, Proxy, Workers};

use super::plan::Operation;

/// Builds the runtime of everything except client connections, which [`Workers`] serve.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    built.map_err(|error| {
        Failure::new(Class::Internal, format!("cannot start the async runtime: {error}"))
    })
}

/// Starts a proxy. Returns it with the problems of targets that could not be started.
pub(crate) async fn start(
    settings: Settings,
    inherited: Vec<InheritedSocket>,
) -> Result<(Proxy, Vec<Problem>), Failure> {
    let workers = Workers::for_this_machine();
    let workers = workers.map_err(|error| {
        Failure::new(Class::Internal, format!("cannot start worker threads: {error}"))
    })?;
    let environment_region = crate::signing::environment_region();
    let context = Context {
        clock: Clock::system(),
        resolver: Resolver::system(),
        workers,
        environment_region,
    };
    let mut problems = create_directories(&settings);
    let (proxy, others) = Proxy::start(settings, context, inherited).await;
    problems.extend(others);
    Ok((proxy, problems))
}

/// Applies new settings. Returns the problems of targets that could not be started.
pub(super) fn reload(proxy: &Proxy, settings: Settings) -> Vec<Problem> {
    let mut problems = create_directories(&settings);
    problems.extend(proxy.reload(settings));
    problems
}

/// Creates the directories of Unix sockets, accessible to other users only if `client-auth` lists
/// system users.
fn create_directories(settings: &Settings) -> Vec<Problem> {
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
                    format!("cannot create {}: {error}", directory.display()),
                );
                problems.push(Problem { target: target.name.clone(), failure });
            }
        }
    }
    problems
}

/// Returns the names and bound addresses of all listeners.
pub(crate) fn listeners(proxy: &Proxy) -> Result<Vec<(String, Listen)>, Failure> {
    let sockets = proxy.listeners().map_err(|error| {
        Failure::new(Class::Internal, format!("cannot read the listeners: {error}"))
    })?;
    Ok(sockets.into_iter().map(|socket| (socket.name, socket.listen)).collect())
}

/// Takes the sockets over from the proxy at the admin socket. Returns none if none runs there.
pub(super) async fn take_over(operation: &Operation) -> Result<Option<Takeover>, Failure> {
    let missing = || {
        Failure::new(
            Class::Configuration,
            "cannot find the admin socket: XDG_RUNTIME_DIR is not set; pass --admin-socket",
        )
    };
    handover::take(&operation.admin_socket.as_ref().ok_or_else(missing)?.path).await
}
