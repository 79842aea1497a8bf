//! A proxy from its start to its end: signals, orders, changes of its files.

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_proxy::{InheritedSocket, Problem, Proxy};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::administration::{Administration, Order, Shown};
use super::check;
use super::launch;
use super::log::{self, Traces};
use super::notify::Notify;
use super::plan::{Grace, Logs, Plan};
use super::watch::Watch;
use super::{Request, ready};
use crate::output;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many orders may wait: they come one at a time, from people.
const MOST_ORDERS: usize = 16;

/// What shells make of an end by SIGTERM and by SIGINT, as cloud-sql-proxy has it.
const TERMINATED: u8 = 143;
const INTERRUPTED: u8 = 130;

/// Why a proxy ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Terminated,
    Interrupted,
    Asked,
    /// Another process has the listeners.
    Replaced,
}

/// Serves until a signal or an order ends it.
pub(super) fn run(request: Request, takeover: bool) -> Result<ExitCode, Failure> {
    let inherited = launch::activated()?;
    let plan = super::plan(&request, None)?;
    let runtime = launch::runtime()?;
    let logs = plan.operation.logs;
    let traces = log::start(logs, plan.operation.otlp_endpoint.as_deref(), runtime.handle())?;
    let ended = runtime.block_on(serve(request, plan, inherited, takeover, Reporter(logs)));
    if let Some(Err(failure)) = traces.map(Traces::finish) {
        tracing::warn!("{}", failure.detail);
    }
    ended
}

/// How the operator is spoken to: in plain lines, or as records of the log.
#[derive(Debug, Clone, Copy)]
struct Reporter(Logs);

impl Reporter {
    fn say(self, text: &str) {
        match self.0 {
            Logs { structured: true, .. } => tracing::info!("{text}"),
            Logs { quiet: true, .. } => {}
            Logs { .. } => output::note(&output::escape_control(text)),
        }
    }

    /// What somebody has to do something about: quiet or not.
    fn complain(self, text: &str) {
        if self.0.structured {
            return tracing::error!("{text}");
        }
        output::error(&Failure::new(Class::Configuration, text));
    }
}

async fn serve(
    request: Request,
    plan: Plan,
    mut inherited: Vec<InheritedSocket>,
    takeover: bool,
    voice: Reporter,
) -> Result<ExitCode, Failure> {
    // Before anything is ready, so that no signal comes too early.
    let mut signals = Signals::new()?;
    let watch = Watch::new(plan.files.clone());
    let notify = Notify::from(&super::variable);
    plan.left_out.iter().for_each(|said| voice.complain(&format!("left out: {said}")));
    let mut taken = if takeover { launch::take_over(&plan.operation).await? } else { None };
    let mut sockets =
        taken.as_mut().map(|taken| std::mem::take(&mut taken.sockets)).unwrap_or_default();
    let is_for_operators = |socket: &mut InheritedSocket| socket.name.starts_with('(');
    let mut operators: Vec<InheritedSocket> = sockets.extract_if(.., is_for_operators).collect();
    inherited.append(&mut sockets);
    let (proxy, problems) = launch::start(plan.settings.clone(), inherited).await?;
    check_start(&proxy, &problems, voice)?;
    if plan.operation.connection_test {
        test(&proxy).await?;
    }
    let (orders, mut ordered) = mpsc::channel(MOST_ORDERS);
    let shown = Shown::new(Mutex::new(check::text(&plan)));
    let administration = Administration::start(
        &proxy,
        &plan.operation,
        orders,
        Shown::clone(&shown),
        &mut operators,
    )?;
    // Last of what may fail: until then the other proxy would go on.
    if let Some(taken) = taken {
        proxy.set_predecessor(taken.ready().await?);
    }
    announce(&proxy, &plan, voice)?;
    notify.say("READY=1");
    let mut serving = Serving { request, plan, proxy, watch, voice, notify, shown };
    let end = serving.until_end(&mut signals, &mut ordered).await;
    serving.end(end, &mut signals).await;
    administration.end(end == End::Replaced);
    Ok(status(end, serving.plan.operation.grace))
}

fn status(end: End, grace: Grace) -> ExitCode {
    match end {
        End::Terminated if grace.exit_zero => ExitCode::SUCCESS,
        End::Terminated => ExitCode::from(TERMINATED),
        End::Interrupted => ExitCode::from(INTERRUPTED),
        End::Asked | End::Replaced => ExitCode::SUCCESS,
    }
}

/// What is wrong with some is logged; that nothing works at all is the end.
fn check_start(proxy: &Proxy, problems: &[Problem], voice: Reporter) -> Result<(), Failure> {
    if launch::listeners(proxy)?.is_empty() {
        let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(Failure::new(
            Class::Configuration,
            format!("no target can be served:\n{}", said.join("\n")),
        ));
    }
    problems.iter().for_each(|problem| voice.complain(&format!("{problem}; the others go on")));
    Ok(())
}

/// `--run-connection-test`.
async fn test(proxy: &Proxy) -> Result<(), Failure> {
    let results = proxy.probe().await;
    let failed =
        |(name, result): (String, Result<(), Failure>)| result.err().map(|failure| (name, failure));
    let failed: Vec<(String, Failure)> = results.into_iter().filter_map(failed).collect();
    let Some((_, first)) = failed.first() else {
        return Ok(());
    };
    let lines: Vec<String> =
        failed.iter().map(|(name, failure)| format!("{name}: {failure}")).collect();
    Err(Failure::new(first.class, format!("the connection test:\n{}", lines.join("\n"))))
}

/// Says where everything is.
fn announce(proxy: &Proxy, plan: &Plan, voice: Reporter) -> Result<(), Failure> {
    for (name, listen) in launch::listeners(proxy)? {
        if let Some(target) = plan.settings.targets.iter().find(|target| target.name == name) {
            voice.say(&format!("{name}: {}", ready::line(target, &listen)));
        }
    }
    let http = plan
        .operation
        .http
        .map(|http| format!(", health and metrics at http://{}", http.address))
        .unwrap_or_default();
    voice.say(&format!("ready{http}"));
    Ok(())
}

/// A proxy that runs.
struct Serving {
    request: Request,
    plan: Plan,
    proxy: Proxy,
    watch: Watch,
    voice: Reporter,
    notify: Notify,
    shown: Shown,
}

impl Serving {
    async fn until_end(
        &mut self,
        signals: &mut Signals,
        orders: &mut mpsc::Receiver<Order>,
    ) -> End {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                word = signals.next() => match word {
                    Word::End(end) => return end,
                    Word::Reload => self.read_again("SIGHUP"),
                },
                Some(order) = orders.recv() => match order {
                    Order::Quit => return End::Asked,
                    Order::Leave => return End::Replaced,
                    // Whoever asked may have gone away.
                    Order::Reload(answer) => _ = answer.send(self.reload("asked to")),
                },
                _ = looks.tick() => if self.watch.has_changed() { self.read_again("the file has changed") },
            }
        }
    }

    /// The same, where nobody waits for an answer.
    fn read_again(&mut self, why: &str) {
        if let Err(failure) = self.reload(why) {
            self.voice.complain(&format!(
                "read again ({why}), and the settings stay as they are: {}",
                failure.detail
            ));
        }
    }

    /// Reads everything anew. What is wrong with it leaves all as it was. Returns what could not be brought up.
    fn reload(&mut self, why: &str) -> Result<Vec<String>, Failure> {
        let read = super::plan(&self.request, Some(&self.plan.settings));
        let plan = read.inspect_err(|_| self.proxy.metrics().proxy().reload_failures.inc())?;
        plan.left_out.iter().for_each(|said| self.voice.complain(&format!("left out: {said}")));
        let problems: Vec<String> = launch::change(&self.proxy, plan.settings.clone())
            .iter()
            .map(ToString::to_string)
            .collect();
        problems
            .iter()
            .for_each(|problem| self.voice.complain(&format!("{problem}; the others go on")));
        let Grace { least, most, exit_zero } = plan.operation.grace;
        self.plan.operation.grace = Grace { least, most, exit_zero };
        if plan.operation != self.plan.operation {
            tracing::warn!(
                "what [proxy] says of HTTP, the admin port and socket, traces and logs counts from the next start on"
            );
        }
        let operation = self.plan.operation.clone();
        self.watch = Watch::new(plan.files.clone());
        self.plan = Plan { operation, ..plan };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = check::text(&self.plan);
        let count = self.plan.settings.targets.len();
        self.voice.say(&format!("read again ({why}): {count} targets"));
        self.notify.say(&format!("STATUS={count} targets"));
        Ok(problems)
    }

    /// Lets clients finish, as long as they are given; a second signal cuts that short.
    async fn end(&self, end: End, signals: &mut Signals) {
        self.notify.say("STOPPING=1");
        let Grace { least, most, .. } = self.plan.operation.grace;
        // The sessions of a proxy that was replaced have all the time there is, unless somebody has said how much.
        let most = if end == End::Replaced && most.is_zero() { Duration::MAX } else { most };
        let wait = async {
            if end != End::Replaced {
                sleep(least).await;
            }
            self.proxy.drain(most.saturating_sub(least)).await
        };
        let cut = tokio::select! {
            cut = wait => cut,
            () = signals.end() => self.proxy.drain(Duration::ZERO).await,
        };
        match cut {
            0 => self.voice.say("ended"),
            cut => self.voice.say(&format!("ended; {cut} sessions were cut off")),
        }
    }
}

/// What a signal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    End(End),
    Reload,
}

/// What comes from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Failure::new(Class::Internal, format!("signals can't be listened to: {error}"))
            })
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Word {
        tokio::select! {
            _ = self.terminate.recv() => Word::End(End::Terminated),
            _ = self.interrupt.recv() => Word::End(End::Interrupted),
            _ = self.hangup.recv() => Word::Reload,
        }
    }

    /// A further signal to end.
    async fn end(&mut self) {
        while self.next().await == Word::Reload {}
    }
}
