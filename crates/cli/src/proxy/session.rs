//! `countersign connect NAME`: serves one target for a limited time, as `hoop connect` does.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::region::Region;
use countersign_proxy::settings::{ClientAuth, Listen, TargetSettings};
use tokio::time::sleep;

use super::options::{Options, Request};
use super::plan::Plan;
use super::{duration, launch, ready};
use crate::output;

/// Default ports of hoop. Source: its documentation, "hoop connect".
const POSTGRES_PORT: u16 = 5433;
const MYSQL_PORT: u16 = 3307;

/// Password that hoop prints if none is checked.
const NO_PASSWORD: &str = "noop";

/// Arguments of `countersign connect NAME`.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) config: Option<PathBuf>,
    pub(crate) port: Option<u16>,
    /// Time to serve; none means until Ctrl-C.
    pub(crate) time: Option<Duration>,
    pub(crate) region: Option<Region>,
    pub(crate) profile: Option<String>,
}

/// Serves one target until the time has passed, or Ctrl-C.
pub(crate) fn open(session: Session) -> Result<ExitCode, Failure> {
    let options =
        Options { region: session.region, profile: session.profile, ..Options::default() };
    let request = Request { targets: vec![session.name], config: session.config, options };
    let mut plan = Plan::resolve_here(&request, None)?;
    for target in &mut plan.settings.targets {
        target.listen = vec![listener(target, session.port)?];
    }
    output::log_to_stderr();
    launch::runtime()?.block_on(serve(&plan, session.time))
}

async fn serve(plan: &Plan, time: Option<Duration>) -> Result<ExitCode, Failure> {
    let (proxy, problems) = launch::start(plan.settings.clone(), Vec::new()).await?;
    if let Some(problem) = problems.into_iter().next() {
        return Err(Failure::new(
            problem.failure.class,
            format!("{}; select another port with -p", problem.failure.detail),
        ));
    }
    for (name, listen) in launch::listeners(&proxy)? {
        if let Some(target) = plan.settings.targets.iter().find(|target| target.name == name) {
            output::line(&credentials(target, &listen))?;
        }
    }
    let limit = time.map(|time| format!(" for {}", duration::format(time))).unwrap_or_default();
    output::note(&format!("ready{limit}; stop with Ctrl-C"));
    let interrupted = tokio::signal::ctrl_c();
    tokio::select! {
        () = sleep(time.unwrap_or(Duration::MAX)) => output::note("time limit reached"),
        _ = interrupted => {}
    }
    proxy.drain(Duration::ZERO).await;
    Ok(ExitCode::SUCCESS)
}

fn listener(target: &TargetSettings, port: Option<u16>) -> Result<Listen, Failure> {
    if let ClientAuth::Users(_) = target.client_auth {
        let detail = format!(
            "cannot serve {} on TCP: its client-auth lists system users, which only a Unix socket \
             identifies; run countersign proxy {0}",
            target.name
        );
        return Err(Failure::new(Class::Configuration, detail));
    }
    let default = if target.engine == Engine::Postgres { POSTGRES_PORT } else { MYSQL_PORT };
    Ok(Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.unwrap_or(default))))
}

/// Formats the credentials as hoop does, followed by the client's command.
fn credentials(target: &TargetSettings, listen: &Listen) -> String {
    let Listen::Tcp(address) = listen else {
        return ready::client_command(target, listen);
    };
    let user = target.user.as_ref().map_or("USER", |user| user.as_str());
    let password = if matches!(target.client_auth, ClientAuth::Trust | ClientAuth::TrustNetwork) {
        NO_PASSWORD
    } else {
        "PASSWORD-OF-CLIENT-AUTH"
    };
    let title = format!("{:-^60}", format!("{}-credentials", target.engine));
    let line =
        format!("host={} port={} user={user} password={password}", address.ip(), address.port());
    let line = format!("{title}\n{:^60}\n{}", line, "-".repeat(60));
    format!("{}\n{}", line.trim_end(), ready::client_command(target, listen))
}
