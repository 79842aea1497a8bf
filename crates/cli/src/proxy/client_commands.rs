//! `proxy wait`, `shutdown` and `status`: commands that send requests to a running proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use countersign_core::failure::{Class, Failure};

use super::duration;
use super::http::{AdminEndpoint, Response};
use super::plan::{HTTP_PORT, default_admin_socket};
use super::status::status_text;
use crate::output::{self, Format};

/// Interval between requests for the startup state.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// HTTP statuses of success.
const SUCCESS: std::ops::Range<u16> = 200..300;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy wait && ./migrate
  countersign proxy wait --http-port 9190 --max 2m")]
pub(crate) struct WaitArguments {
    /// IP address of the proxy's health endpoint
    #[arg(long, value_name = "ADDRESS", env = "COUNTERSIGN_PROXY_HTTP_ADDRESS",
          default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    http_address: IpAddr,
    /// Port of the proxy's health endpoint
    #[arg(long, value_name = "PORT", env = "COUNTERSIGN_PROXY_HTTP_PORT",
          default_value_t = HTTP_PORT)]
    http_port: u16,
    /// Maximum time to wait
    #[arg(long, short, value_name = "DURATION", value_parser = duration::parse,
          default_value = "30s")]
    max: Duration,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  countersign proxy shutdown
  countersign proxy shutdown --admin-port 9091      # of a proxy with --quitquitquit")]
pub(crate) struct ShutdownArguments {
    /// Admin port of the proxy; overrides the admin socket, also one from the environment
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
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, clap::Args)]
struct SocketArgument {
    /// Admin socket of the proxy [default: /run/countersign/proxy.sock for root, else proxy.sock
    /// in $XDG_RUNTIME_DIR/countersign]
    #[arg(long, value_name = "PATH", env = "COUNTERSIGN_PROXY_ADMIN_SOCKET")]
    admin_socket: Option<PathBuf>,
}

impl SocketArgument {
    fn endpoint(&self) -> Result<AdminEndpoint, Failure> {
        let path =
            self.admin_socket.clone().or_else(|| default_admin_socket(&crate::process::variable));
        let missing = || {
            Failure::new(
                Class::Configuration,
                "cannot find the admin socket: XDG_RUNTIME_DIR is not set; pass --admin-socket",
            )
        };
        path.map(AdminEndpoint::Unix).ok_or_else(missing)
    }
}

/// Waits until the proxy has started.
pub(super) fn wait(arguments: &WaitArguments) -> Result<ExitCode, Failure> {
    let endpoint = AdminEndpoint::Tcp(SocketAddr::new(arguments.http_address, arguments.http_port));
    let begun = Instant::now();
    loop {
        let cause = match endpoint.request("GET", "/startup") {
            Ok(response) if SUCCESS.contains(&response.status) => return Ok(ExitCode::SUCCESS),
            Ok(response) => {
                format!("{endpoint} returned {}: {}", response.status, response.body.trim())
            }
            Err(failure) => failure.detail,
        };
        if begun.elapsed() >= arguments.max {
            let max = duration::format(arguments.max);
            return Err(Failure::new(
                Class::TimedOut,
                format!(
                    "the proxy did not start within {max}: {cause}; it must run with \
                     --health-check"
                ),
            ));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Requests the proxy's shutdown.
pub(super) fn shutdown(arguments: &ShutdownArguments) -> Result<ExitCode, Failure> {
    let (endpoint, advice) = match arguments.admin_port {
        Some(port) => {
            let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            (AdminEndpoint::Tcp(address), "; start the proxy with --quitquitquit")
        }
        None => (arguments.socket.endpoint()?, ""),
    };
    let response = endpoint.request("POST", "/quitquitquit")?;
    if !SUCCESS.contains(&response.status) {
        return Err(unexpected_status("cannot shut the proxy down", &endpoint, &response, advice));
    }
    output::note("the proxy shuts down: it exits after its last session or --max-sigterm-delay");
    Ok(ExitCode::SUCCESS)
}

/// Prints the status of the proxy.
pub(super) fn status(arguments: &StatusArguments) -> Result<ExitCode, Failure> {
    let endpoint = arguments.socket.endpoint()?;
    let response = endpoint.request("GET", "/status")?;
    if !SUCCESS.contains(&response.status) {
        return Err(unexpected_status("cannot read the status", &endpoint, &response, ""));
    }
    let status = serde_json::from_str(&response.body).map_err(|error| {
        Failure::new(Class::Protocol, format!("cannot read the status of {endpoint}: {error}"))
    })?;
    match arguments.output {
        Format::Json => output::json(&status)?,
        Format::Text => output::line(&status_text(&status, std::time::SystemTime::now()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn unexpected_status(
    problem: &str,
    endpoint: &AdminEndpoint,
    response: &Response,
    advice: &str,
) -> Failure {
    let Response { status, body } = response;
    let detail = format!("{problem}: {endpoint} returned {status}: {}{advice}", body.trim());
    Failure::new(Class::Protocol, detail)
}
