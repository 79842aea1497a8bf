//! `proxy wait`, `shutdown` and `status`: questions to a proxy that runs.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use countersign_core::failure::{Class, Failure};

use super::http::Door;
use super::plan::{HTTP_PORT, default_admin_socket};
use super::{duration, status};
use crate::output::{self, Format};

/// How often a proxy is asked whether it has started.
const PERIOD: Duration = Duration::from_millis(200);

/// The statuses of HTTP that are a yes.
const GOOD: std::ops::Range<u16> = 200..300;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy wait && ./migrate
  countersign proxy wait --http-port 9190 --max 2m")]
pub(crate) struct WaitArguments {
    /// Where its health is served
    #[arg(long, value_name = "ADDRESS", env = "COUNTERSIGN_PROXY_HTTP_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    http_address: IpAddr,
    /// The port of its health
    #[arg(long, value_name = "PORT", env = "COUNTERSIGN_PROXY_HTTP_PORT", default_value_t = HTTP_PORT)]
    http_port: u16,
    /// How long to wait
    #[arg(long, short, value_name = "DURATION", value_parser = duration::parse, default_value = "30s")]
    max: Duration,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy shutdown
  countersign proxy shutdown --admin-port 9091      # of a proxy with --quitquitquit")]
pub(crate) struct ShutdownArguments {
    /// The admin port of the proxy, in place of its admin socket: also of one that the environment names
    #[arg(long, value_name = "PORT")]
    admin_port: Option<u16>,
    #[command(flatten)]
    socket: SocketArgument,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy status
  countersign proxy status --output json | jq '.sessions | length'")]
pub(crate) struct StatusArguments {
    #[command(flatten)]
    socket: SocketArgument,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct SocketArgument {
    /// The admin socket of the proxy [default: /run/countersign/proxy.sock for root, else proxy.sock in
    /// $XDG_RUNTIME_DIR/countersign]
    #[arg(long, value_name = "PATH", env = "COUNTERSIGN_PROXY_ADMIN_SOCKET")]
    admin_socket: Option<PathBuf>,
}

impl SocketArgument {
    fn door(&self) -> Result<Door, Failure> {
        let named = self.admin_socket.clone().or_else(|| default_admin_socket(&super::variable));
        let missing = || {
            Failure::new(Class::Configuration, "there is no XDG_RUNTIME_DIR: pass --admin-socket")
        };
        named.map(Door::Unix).ok_or_else(missing)
    }
}

/// Waits until the proxy has started.
pub(super) fn wait(arguments: &WaitArguments) -> Result<ExitCode, Failure> {
    let door = Door::Tcp(SocketAddr::new(arguments.http_address, arguments.http_port));
    let begun = Instant::now();
    loop {
        let why = match door.ask("GET", "/startup") {
            Ok(answer) if GOOD.contains(&answer.status) => return Ok(ExitCode::SUCCESS),
            Ok(answer) => format!("it answers {}: {}", answer.status, answer.body.trim()),
            Err(failure) => failure.detail,
        };
        if begun.elapsed() >= arguments.max {
            let max = duration::written(arguments.max);
            return Err(Failure::new(
                Class::TimedOut,
                format!("the proxy has not started within {max}: {why}; has it --health-check?"),
            ));
        }
        std::thread::sleep(PERIOD);
    }
}

/// Asks the proxy to end.
pub(super) fn shutdown(arguments: &ShutdownArguments) -> Result<ExitCode, Failure> {
    let door = match arguments.admin_port {
        Some(port) => Door::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
        None => arguments.socket.door()?,
    };
    let answer = door.ask("POST", "/quitquitquit")?;
    if GOOD.contains(&answer.status) {
        output::note("the proxy ends once its sessions have, or their time is up");
        return Ok(ExitCode::SUCCESS);
    }
    let advice =
        if arguments.admin_port.is_some() { "; was it started with --quitquitquit?" } else { "" };
    Err(Failure::new(
        Class::Protocol,
        format!("{door} answers {}: {}{advice}", answer.status, answer.body.trim()),
    ))
}

/// Prints what the proxy does.
pub(super) fn report(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let door = arguments.socket.door()?;
    let answer = door.ask("GET", "/status")?;
    if !GOOD.contains(&answer.status) {
        return Err(Failure::new(
            Class::Protocol,
            format!("{door} answers {}: {}", answer.status, answer.body.trim()),
        ));
    }
    let parsed = serde_json::from_str(&answer.body);
    let status = parsed.map_err(|error| {
        Failure::new(Class::Protocol, format!("the status of {door} can't be read: {error}"))
    })?;
    match arguments.output {
        Format::Json => output::json(&status)?,
        Format::Text => output::line(&status::text(&status, std::time::SystemTime::now()))?,
    }
    Ok(ExitCode::SUCCESS)
}
