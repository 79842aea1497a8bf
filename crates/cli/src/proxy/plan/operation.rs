//! Endpoints for operators, logs and shutdown of a proxy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};

use super::environment::Environment;
use crate::proxy::duration;
use crate::proxy::options::Options;

/// Default ports of cloud-sql-proxy. Source: its `--help`.
pub(crate) const HTTP_PORT: u16 = 9090;
const ADMIN_PORT: u16 = 9091;

/// Settings of a proxy apart from its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) http: Option<HttpSettings>,
    pub(crate) admin: Option<AdminSettings>,
    /// None if no path is given and the user has no runtime directory.
    pub(crate) admin_socket: Option<AdminSocket>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) connection_test: bool,
    pub(crate) logs: LogSettings,
    pub(crate) shutdown: ShutdownSettings,
}

/// Admin socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminSocket {
    pub(crate) path: PathBuf,
    /// True if the operator set the path.
    pub(crate) is_explicit: bool,
}

/// Endpoint of health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HttpSettings {
    pub(crate) address: SocketAddr,
    pub(crate) health: bool,
    pub(crate) metrics: bool,
}

/// Admin port, which only this machine reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdminSettings {
    pub(crate) address: SocketAddr,
    pub(crate) debug: bool,
    pub(crate) quit: bool,
}

/// Format and level of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogSettings {
    pub(crate) structured: bool,
    pub(crate) quiet: bool,
}

/// Delays and exit status after SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ShutdownSettings {
    /// Time during which new connections are accepted.
    pub(crate) min_delay: Duration,
    /// Time after which sessions are terminated. At least `min_delay`.
    pub(crate) max_delay: Duration,
    pub(crate) exit_zero: bool,
}

impl Operation {
    pub(super) fn new(options: &Options, environment: Environment<'_>) -> Result<Self, Failure> {
        let is_on = |flag: Option<bool>| flag == Some(true);
        Ok(Self {
            http: HttpSettings::new(options),
            admin: AdminSettings::new(options),
            admin_socket: AdminSocket::new(options, environment),
            otlp_endpoint: options.otlp_endpoint.clone(),
            connection_test: is_on(options.run_connection_test),
            logs: LogSettings {
                structured: is_on(options.structured_logs),
                quiet: is_on(options.quiet),
            },
            shutdown: ShutdownSettings::new(options)?,
        })
    }
}

impl HttpSettings {
    fn new(options: &Options) -> Option<Self> {
        let (health, metrics) =
            (options.health_check == Some(true), options.prometheus == Some(true));
        let address = SocketAddr::new(
            options.http_address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            options.http_port.unwrap_or(HTTP_PORT),
        );
        (health || metrics).then_some(Self { address, health, metrics })
    }
}

impl AdminSettings {
    fn new(options: &Options) -> Option<Self> {
        let (debug, quit) = (options.debug == Some(true), options.quitquitquit == Some(true));
        let port = options.admin_port.unwrap_or(ADMIN_PORT);
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        (debug || quit).then_some(Self { address, debug, quit })
    }
}

impl AdminSocket {
    fn new(options: &Options, environment: Environment<'_>) -> Option<Self> {
        if let Some(path) = &options.admin_socket {
            let path = environment.working_directory.join(path);
            return Some(Self { path, is_explicit: true });
        }
        default_admin_socket(environment.variable).map(|path| Self { path, is_explicit: false })
    }
}

impl ShutdownSettings {
    fn new(options: &Options) -> Result<Self, Failure> {
        let max = options.max_sigterm_delay.unwrap_or(Duration::ZERO);
        let min = options.min_sigterm_delay.unwrap_or(Duration::ZERO);
        if options.max_sigterm_delay.is_some() && min > max {
            let (min, max) = (duration::format(min), duration::format(max));
            return Err(Failure::new(
                Class::Usage,
                format!(
                    "cannot use min-sigterm-delay {min}: it is longer than max-sigterm-delay {max}"
                ),
            ));
        }
        Ok(Self {
            min_delay: min,
            max_delay: max.max(min),
            exit_zero: options.exit_zero_on_sigterm == Some(true),
        })
    }
}

/// Returns the default path of the admin socket, in a directory of root or of the user.
pub(crate) fn default_admin_socket(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/run/countersign/proxy.sock"));
    }
    let directory = variable("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    directory.map(|directory| PathBuf::from(directory).join("countersign/proxy.sock"))
}
