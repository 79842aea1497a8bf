//! Runs a proxy from startup to shutdown: signals, admin commands, changes of its files.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_proxy::{InheritedSocket, Problem, Proxy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::administration::{AdminCommand, Administration, SharedConfigText};
use super::check::plan_text;
use super::log::{self, Traces};
use super::options::Request;
use super::plan::{LogSettings, Plan, ShutdownSettings};
use super::systemd::{Notifier, activated_sockets};
use super::watch::FileWatcher;
use super::{launch, ready};
use crate::output;

/// Interval at which watched files are polled.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Capacity of the channel of admin commands. Operators send them one at a time.
const COMMAND_CAPACITY: usize = 16;

/// Exit statuses after SIGTERM and SIGINT, as cloud-sql-proxy and shells define them.
const TERMINATED: u8 = 143;
const INTERRUPTED: u8 = 130;

/// Cause of a shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutdownCause {
    Terminated,
    Interrupted,
    Requested,
    /// Another process took over the listeners.
    Replaced,
}

/// Serves until a signal or an admin command shuts the proxy down.
pub(super) fn run(request: Request, takeover: bool) -> Result<ExitCode, Failure> {
    let inherited = activated_sockets()?;
    let plan = Plan::resolve_here(&request, None)?;
    let runtime = launch::runtime()?;
    let logs = plan.operation.logs;
    let traces = log::start(logs, plan.operation.otlp_endpoint.as_deref(), runtime.handle())?;
    let status = runtime.block_on(serve(request, plan, inherited, takeover, Reporter(logs)));
    if let Some(Err(failure)) = traces.map(Traces::finish) {
        tracing::warn!("{}", failure.detail);
    }
    status
}

/// Messages to the operator: plain lines, or log records with `--structured-logs`.
#[derive(Debug, Clone, Copy)]
struct Reporter(LogSettings);

impl Reporter {
    fn info(self, text: &str) {
        match self.0 {
            LogSettings { structured: true, .. } => tracing::info!("{text}"),
            LogSettings { quiet: true, .. } => {}
            LogSettings { .. } => output::note(&output::escape_control(text)),
        }
    }

    /// Reports a problem that the operator has to fix, also with `--quiet`.
    fn error(self, text: &str) {
        if self.0.structured {
            return tracing::error!("{text}");
        }
        output::error(&Failure::new(Class::Configuration, text));
    }

    fn skipped_targets(self, plan: &Plan) {
        plan.skipped.iter().for_each(|error| self.error(&format!("target skipped: {error}")));
    }

    fn failed_targets(self, problems: &[String]) {
        problems
            .iter()
            .for_each(|problem| self.error(&format!("{problem}; other targets are served")));
    }
}

async fn serve(
    request: Request,
    plan: Plan,
    mut inherited: Vec<InheritedSocket>,
    takeover: bool,
    reporter: Reporter,
) -> Result<ExitCode, Failure> {
    // Registered before anything is ready, so that no signal is lost.
    let mut signals = Signals::new()?;
    let watcher = FileWatcher::new(plan.files.clone());
    let notifier = Notifier::from_env(&crate::process::variable);
    reporter.skipped_targets(&plan);
    let mut predecessor = if takeover { launch::take_over(&plan.operation).await? } else { None };
    let mut sockets = predecessor
        .as_mut()
        .map(|takeover| std::mem::take(&mut takeover.sockets))
        .unwrap_or_default();
    let is_admin_socket = |socket: &mut InheritedSocket| socket.name.starts_with('(');
    let mut admin_sockets: Vec<InheritedSocket> = sockets.extract_if(.., is_admin_socket).collect();
    inherited.append(&mut sockets);
    let (proxy, problems) = launch::start(plan.settings.clone(), inherited).await?;
    check_start(&proxy, &problems, reporter)?;
    if plan.operation.connection_test {
        test_connections(&proxy).await?;
    }
    let (sender, mut commands) = mpsc::channel(COMMAND_CAPACITY);
    let config_text = SharedConfigText::new(Mutex::new(plan_text(&plan)));
    let administration = Administration::start(
        &proxy,
        &plan.operation,
        sender,
        SharedConfigText::clone(&config_text),
        &mut admin_sockets,
    )?;
    // The last step that can fail: until then the predecessor can continue.
    if let Some(predecessor) = predecessor {
        proxy.set_predecessor(predecessor.ready().await?);
    }
    report_listeners(&proxy, &plan, reporter)?;
    notifier.notify("READY=1");
    let mut server = Server { request, plan, proxy, watcher, reporter, notifier, config_text };
    let cause = server.run_until_shutdown(&mut signals, &mut commands).await;
    server.shutdown(cause, &mut signals).await;
    administration.shutdown(cause == ShutdownCause::Replaced);
    Ok(exit_status(cause, server.plan.operation.shutdown))
}

fn exit_status(cause: ShutdownCause, settings: ShutdownSettings) -> ExitCode {
    match cause {
        ShutdownCause::Terminated if settings.exit_zero => ExitCode::SUCCESS,
        ShutdownCause::Terminated => ExitCode::from(TERMINATED),
        ShutdownCause::Interrupted => ExitCode::from(INTERRUPTED),
        ShutdownCause::Requested | ShutdownCause::Replaced => ExitCode::SUCCESS,
    }
}

/// Reports targets that failed to start. Returns an error if none started.
fn check_start(proxy: &Proxy, problems: &[Problem], reporter: Reporter) -> Result<(), Failure> {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    if launch::listeners(proxy)?.is_empty() {
        return Err(Failure::new(
            Class::Configuration,
            format!("cannot serve any target:\n{}", problems.join("\n")),
        ));
    }
    reporter.failed_targets(&problems);
    Ok(())
}

/// Logs in to every target, for `--run-connection-test`.
async fn test_connections(proxy: &Proxy) -> Result<(), Failure> {
    let results = proxy.probe().await;
    let failed =
        |(name, result): (String, Result<(), Failure>)| result.err().map(|failure| (name, failure));
    let failed: Vec<(String, Failure)> = results.into_iter().filter_map(failed).collect();
    let Some((_, first)) = failed.first() else {
        return Ok(());
    };
    let lines: Vec<String> =
        failed.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
    Err(Failure::new(first.class, format!("connection test failed:\n{}", lines.join("\n"))))
}

/// Reports how each listener and the HTTP endpoint are reached.
fn report_listeners(proxy: &Proxy, plan: &Plan, reporter: Reporter) -> Result<(), Failure> {
    for (name, listen) in launch::listeners(proxy)? {
        if let Some(target) = plan.settings.targets.iter().find(|target| target.name == name) {
            reporter.info(&format!("{name}: {}", ready::client_command(target, &listen)));
        }
    }
    let http = plan
        .operation
        .http
        .map(|http| format!(", health and metrics at http://{}", http.address))
        .unwrap_or_default();
    reporter.info(&format!("ready{http}"));
    Ok(())
}

/// Running proxy with the state that a reload replaces.
struct Server {
    request: Request,
    plan: Plan,
    proxy: Proxy,
    watcher: FileWatcher,
    reporter: Reporter,
    notifier: Notifier,
    config_text: SharedConfigText,
}

impl Server {
    async fn run_until_shutdown(
        &mut self,
        signals: &mut Signals,
        commands: &mut mpsc::Receiver<AdminCommand>,
    ) -> ShutdownCause {
        let mut polls = interval(POLL_INTERVAL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = signals.next() => match event {
                    SignalEvent::Shutdown(cause) => return cause,
                    SignalEvent::Reload => self.reload_and_report("SIGHUP"),
                },
                Some(command) = commands.recv() => match command {
                    AdminCommand::Shutdown => return ShutdownCause::Requested,
                    AdminCommand::StopReplaced => return ShutdownCause::Replaced,
                    // The client may have closed its connection.
                    AdminCommand::Reload(reply) => _ = reply.send(self.reload("admin request")),
                },
                _ = polls.tick() => if self.watcher.has_changed() {
                    self.reload_and_report("the file has changed");
                },
            }
        }
    }

    /// Reloads, and reports an error to the operator because no client waits for it.
    fn reload_and_report(&mut self, trigger: &str) {
        if let Err(failure) = self.reload(trigger) {
            self.reporter.error(&format!(
                "cannot reload the configuration ({trigger}), the previous one stays in effect: \
                 {}",
                failure.detail
            ));
        }
    }

    /// Reads the configuration and applies it. A configuration with errors changes nothing.
    /// Returns the problems of targets that could not be started.
    fn reload(&mut self, trigger: &str) -> Result<Vec<String>, Failure> {
        let plan = Plan::resolve_here(&self.request, Some(&self.plan.settings))
            .inspect_err(|_| self.proxy.metrics().proxy().reload_failures.inc())?;
        self.reporter.skipped_targets(&plan);
        let problems: Vec<String> = launch::reload(&self.proxy, plan.settings.clone())
            .iter()
            .map(ToString::to_string)
            .collect();
        self.reporter.failed_targets(&problems);
        self.plan.operation.shutdown = plan.operation.shutdown;
        if plan.operation != self.plan.operation {
            tracing::warn!(
                "changes of HTTP, admin port, admin socket, traces and logs in [proxy] take \
                 effect at the next start"
            );
        }
        let operation = self.plan.operation.clone();
        self.watcher = FileWatcher::new(plan.files.clone());
        self.plan = Plan { operation, ..plan };
        *self.config_text.lock().unwrap_or_else(PoisonError::into_inner) = plan_text(&self.plan);
        let count = self.plan.settings.targets.len();
        self.reporter.info(&format!("configuration reloaded ({trigger}): {count} targets"));
        self.notifier.notify(&format!("STATUS={count} targets"));
        Ok(problems)
    }

    /// Drains sessions within the configured delays. A second signal terminates them at once.
    async fn shutdown(&self, cause: ShutdownCause, signals: &mut Signals) {
        self.notifier.notify("STOPPING=1");
        let ShutdownSettings { min_delay, max_delay, .. } = self.plan.operation.shutdown;
        let is_replaced = cause == ShutdownCause::Replaced;
        // Sessions of a replaced proxy may continue, unless a maximum delay is configured.
        let max_delay = if is_replaced && max_delay.is_zero() { Duration::MAX } else { max_delay };
        let drain = async {
            if !is_replaced {
                sleep(min_delay).await;
            }
            self.proxy.drain(max_delay.saturating_sub(min_delay)).await
        };
        let terminated = tokio::select! {
            terminated = drain => terminated,
            () = signals.shutdown() => self.proxy.drain(Duration::ZERO).await,
        };
        match terminated {
            0 => self.reporter.info("shutdown complete"),
            count => self.reporter.info(&format!("shutdown complete: {count} sessions terminated")),
        }
    }
}

/// Request of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SignalEvent {
    Shutdown(ShutdownCause),
    Reload,
}

/// Handlers of the signals.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let register = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Class::Internal, format!("cannot register signal handlers: {error}"))
            })
        };
        Ok(Self {
            terminate: register(SignalKind::terminate())?,
            interrupt: register(SignalKind::interrupt())?,
            hangup: register(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> SignalEvent {
        tokio::select! {
            _ = self.terminate.recv() => SignalEvent::Shutdown(ShutdownCause::Terminated),
            _ = self.interrupt.recv() => SignalEvent::Shutdown(ShutdownCause::Interrupted),
            _ = self.hangup.recv() => SignalEvent::Reload,
        }
    }

    /// Waits for the next signal that requests a shutdown.
    async fn shutdown(&mut self) {
        while self.next().await == SignalEvent::Reload {}
    }
}
