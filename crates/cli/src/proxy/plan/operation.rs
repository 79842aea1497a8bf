//! How a proxy is run: what it answers besides databases, and how it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use countersign_core::failure::{Class, Failure};

use super::{Environment, duration};
use crate::proxy::options::Options;

/// The ports of cloud-sql-proxy. Source: its `--help`.
pub(crate) const HTTP_PORT: u16 = 9090;
const ADMIN_PORT: u16 = 9091;

/// How a proxy is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) http: Option<Http>,
    pub(crate) admin: Option<Admin>,
    /// None where there is no directory that is the user's own.
    pub(crate) admin_socket: Option<AdminSocket>,
    pub(crate) otlp_endpoint: Option<String>,
    pub(crate) connection_test: bool,
    pub(crate) logs: Logs,
    pub(crate) grace: Grace,
}

/// The private socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AdminSocket {
    pub(crate) path: PathBuf,
    /// Whether somebody asked for it.
    pub(crate) is_named: bool,
}

/// Health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    pub(crate) health: bool,
    pub(crate) metrics: bool,
}

/// What only this machine may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admin {
    pub(crate) address: SocketAddr,
    pub(crate) debug: bool,
    pub(crate) quit: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Logs {
    pub(crate) structured: bool,
    pub(crate) quiet: bool,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grace {
    /// How long new connections are still taken.
    pub(crate) least: Duration,
    /// How long sessions have to end, both together.
    pub(crate) most: Duration,
    pub(crate) exit_zero: bool,
}

impl Operation {
    pub(super) fn of(options: &Options, surroundings: Environment<'_>) -> Result<Self, Failure> {
        let is_on = |flag: Option<bool>| flag == Some(true);
        let (health, metrics) = (is_on(options.health_check), is_on(options.prometheus));
        let (debug, quit) = (is_on(options.debug), is_on(options.quitquitquit));
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let http = SocketAddr::new(
            options.http_address.unwrap_or(local),
            options.http_port.unwrap_or(HTTP_PORT),
        );
        let admin = SocketAddr::new(local, options.admin_port.unwrap_or(ADMIN_PORT));
        let most = options.max_sigterm_delay.unwrap_or(Duration::ZERO);
        let least = options.min_sigterm_delay.unwrap_or(Duration::ZERO);
        if options.max_sigterm_delay.is_some() && least > most {
            let (least, most) = (duration::written(least), duration::written(most));
            return Err(Failure::new(
                Class::Usage,
                format!("min-sigterm-delay, {least}, is longer than max-sigterm-delay, {most}"),
            ));
        }
        let named = options.admin_socket.as_ref();
        let named = named.map(|path| AdminSocket {
            path: surroundings.working_directory.join(path),
            is_named: true,
        });
        let usual = || {
            default_admin_socket(surroundings.variable)
                .map(|path| AdminSocket { path, is_named: false })
        };
        Ok(Self {
            http: (health || metrics).then_some(Http { address: http, health, metrics }),
            admin: (debug || quit).then_some(Admin { address: admin, debug, quit }),
            admin_socket: named.or_else(usual),
            otlp_endpoint: options.otlp_endpoint.clone(),
            connection_test: is_on(options.run_connection_test),
            logs: Logs { structured: is_on(options.structured_logs), quiet: is_on(options.quiet) },
            grace: Grace {
                least,
                most: most.max(least),
                exit_zero: is_on(options.exit_zero_on_sigterm),
            },
        })
    }
}

/// Where the admin socket is that nobody names: in a directory that is root's or the user's own.
pub(crate) fn default_admin_socket(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() {
        return Some(PathBuf::from("/run/countersign/proxy.sock"));
    }
    let directory = variable("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    directory.map(|directory| PathBuf::from(directory).join("countersign/proxy.sock"))
}
