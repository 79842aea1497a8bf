//! `connect NAME`: a target's own address for a while, as `hoop connect` has it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};
use countersign_core::name::Engine;
use countersign_core::region::Region;
use countersign_proxy::settings::{ClientAuth, Listen, TargetSettings};
use tokio::time::sleep;

use super::options::Options;
use super::{Request, duration, launch, ready};
use crate::output;

/// hoop's ports. Source: its documentation, "hoop connect".
const POSTGRES_PORT: u16 = 5433;
const MYSQL_PORT: u16 = 3307;

/// hoop's word for what is not looked at.
const DUMMY: &str = "noop";

/// What is asked for.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) config: Option<PathBuf>,
    pub(crate) port: Option<u16>,
    /// How long it lasts; none is until Ctrl-C.
    pub(crate) time: Option<Duration>,
    pub(crate) region: Option<Region>,
    pub(crate) profile: Option<String>,
}

/// Listens for one target until the time is up, or Ctrl-C.
pub(crate) fn open(session: Session) -> Result<ExitCode, Failure> {
    let options =
        Options { region: session.region, profile: session.profile, ..Options::default() };
    let request = Request { targets: vec![session.name], config: session.config, options };
    let mut plan = super::plan(&request, None)?;
    for target in &mut plan.settings.targets {
        target.listen = vec![listener(target, session.port)?];
    }
    output::log_to_stderr();
    launch::runtime()?.block_on(async {
        let (proxy, problems) = launch::start(plan.settings.clone(), Vec::new()).await?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(Failure::new(
                problem.failure.class,
                format!("{}; -p names another port", problem.failure.detail),
            ));
        }
        for (name, listen) in launch::listeners(&proxy)? {
            if let Some(target) = plan.settings.targets.iter().find(|target| target.name == name) {
                output::line(&credentials(target, &listen))?;
            }
        }
        let until = session
            .time
            .map(|time| format!(" for {}", duration::written(time)))
            .unwrap_or_default();
        output::note(&format!("ready{until}; Ctrl-C ends it"));
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            () = sleep(session.time.unwrap_or(Duration::MAX)) => output::note("the time is up"),
            _ = interrupted => {}
        }
        proxy.drain(Duration::ZERO).await;
        Ok(ExitCode::SUCCESS)
    })
}

fn listener(target: &TargetSettings, port: Option<u16>) -> Result<Listen, Failure> {
    if let ClientAuth::Users(_) = target.client_auth {
        let detail = format!(
            "{} lets users of the machine in, who are known on a Unix socket alone: countersign proxy {0}",
            target.name
        );
        return Err(Failure::new(Class::Configuration, detail));
    }
    let usual = if target.engine == Engine::Postgres { POSTGRES_PORT } else { MYSQL_PORT };
    Ok(Listen::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port.unwrap_or(usual))))
}

/// As hoop prints it, and a line to paste.
fn credentials(target: &TargetSettings, listen: &Listen) -> String {
    let Listen::Tcp(address) = listen else {
        return ready::line(target, listen);
    };
    let user = target.user.as_ref().map_or("USER", |user| user.as_str());
    let password = if matches!(target.client_auth, ClientAuth::Trust | ClientAuth::TrustNetwork) {
        DUMMY
    } else {
        "THE-PASSWORD-OF-ITS-ACCESS"
    };
    let title = format!("{:-^60}", format!("{}-credentials", target.engine));
    let line =
        format!("host={} port={} user={user} password={password}", address.ip(), address.port());
    let line = format!("{title}\n{:^60}\n{}", line, "-".repeat(60));
    format!("{}\n{}", line.trim_end(), ready::line(target, listen))
}
