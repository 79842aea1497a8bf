//! Options of a proxy, shared by flags, environment variables and the file's `[proxy]` table.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign_connect::credentials_cache::RoleArn;
use countersign_core::region::Region;

use super::config::SignHost;
use super::duration;

/// Targets, configuration file and options of a proxy on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Request {
    /// Databases: URLs, or names of targets in countersign.toml [default: all targets of the file]
    #[arg(value_name = "URL|NAME")]
    pub(super) targets: Vec<String>,
    /// Configuration file [default: ./countersign.toml, else countersign/countersign.toml in
    /// $XDG_CONFIG_HOME or ~/.config]
    #[arg(long, short, value_name = "FILE", env = "COUNTERSIGN_PROXY_CONFIG")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) options: Options,
}

/// Options of a proxy. `None` selects the default, which [`super::plan`] sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Options {
    /// IP address of the listeners of targets without their own [default: 127.0.0.1]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "COUNTERSIGN_PROXY_ADDRESS",
        help_heading = "Listeners"
    )]
    pub(super) address: Option<IpAddr>,
    /// Port of the first target; each further target takes the next free one [default: 5432 for
    /// PostgreSQL, 3306 for MySQL and MariaDB, each counted up]
    #[arg(
        long,
        short,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_PORT",
        help_heading = "Listeners"
    )]
    pub(super) port: Option<u16>,
    /// Listen on Unix sockets in this directory instead of TCP: DIR/NAME/.s.PGSQL.5432 for
    /// PostgreSQL, DIR/NAME for MySQL and MariaDB
    #[arg(
        long,
        short,
        value_name = "DIR",
        env = "COUNTERSIGN_PROXY_UNIX_SOCKET",
        help_heading = "Listeners"
    )]
    pub(super) unix_socket: Option<PathBuf>,
    /// Accept clients of other machines without a password, if client-auth is trust
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_OPEN_TO_NETWORK", help_heading = "Listeners")]
    pub(super) open_to_network: Option<bool>,
    /// Maximum number of client connections of all targets; 0 disables the limit [default: 0]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "COUNTERSIGN_PROXY_MAX_CONNECTIONS",
        help_heading = "Listeners"
    )]
    pub(super) max_connections: Option<u32>,
    /// Timeout of a client's login [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse,
          env = "COUNTERSIGN_PROXY_LOGIN_TIMEOUT", help_heading = "Listeners")]
    pub(super) login_timeout: Option<Duration>,

    /// AWS profile whose credentials sign tokens [default: the AWS SDK's default provider chain]
    #[arg(
        long,
        value_name = "NAME",
        env = "COUNTERSIGN_PROXY_PROFILE",
        help_heading = "Credentials"
    )]
    pub(super) profile: Option<String>,
    /// AWS region of the databases [default: the one in the host name, else AWS_REGION, else the
    /// profile's]
    #[arg(
        long,
        value_name = "REGION",
        env = "COUNTERSIGN_PROXY_REGION",
        help_heading = "Credentials"
    )]
    pub(super) region: Option<Region>,
    /// IAM role to assume; several form a chain
    #[arg(
        long,
        value_name = "ARN",
        env = "COUNTERSIGN_PROXY_ASSUME_ROLE",
        value_delimiter = ',',
        help_heading = "Credentials"
    )]
    pub(super) assume_role: Vec<RoleArn>,
    /// External id that the trust policy of the last role requires
    #[arg(
        long,
        value_name = "ID",
        env = "COUNTERSIGN_PROXY_EXTERNAL_ID",
        help_heading = "Credentials"
    )]
    pub(super) external_id: Option<String>,
    /// Sign tokens for this host instead of the target's: for a tunnel, the endpoint of the
    /// instance
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "COUNTERSIGN_PROXY_SIGN_HOST",
        help_heading = "Credentials"
    )]
    pub(super) sign_host: Option<SignHost>,
    /// Load credentials and open connections only when a client connects
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_LAZY_REFRESH", help_heading = "Credentials")]
    pub(super) lazy_refresh: Option<bool>,

    /// Log in to every target once before the proxy is ready, and exit if a login fails
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_RUN_CONNECTION_TEST", help_heading = "Startup")]
    pub(super) run_connection_test: Option<bool>,
    /// Skip targets with configuration errors instead of not starting
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_SKIP_FAILED_INSTANCE_CONFIG", help_heading = "Startup")]
    pub(super) skip_failed_instance_config: Option<bool>,

    /// Serve /startup, /readiness and /liveness over HTTP
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_HEALTH_CHECK", help_heading = "Observability")]
    pub(super) health_check: Option<bool>,
    /// Serve /metrics over HTTP in Prometheus' format
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_PROMETHEUS", help_heading = "Observability")]
    pub(super) prometheus: Option<bool>,
    /// IP address of health and metrics [default: 127.0.0.1]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "COUNTERSIGN_PROXY_HTTP_ADDRESS",
        help_heading = "Observability"
    )]
    pub(super) http_address: Option<IpAddr>,
    /// Port of health and metrics [default: 9090]
    #[arg(
        long,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_HTTP_PORT",
        help_heading = "Observability"
    )]
    pub(super) http_port: Option<u16>,
    /// Export traces to this OpenTelemetry collector over HTTP
    #[arg(
        long,
        value_name = "URL",
        env = "COUNTERSIGN_PROXY_OTLP_ENDPOINT",
        help_heading = "Observability"
    )]
    pub(super) otlp_endpoint: Option<String>,
    /// Log one JSON object per line
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_STRUCTURED_LOGS", help_heading = "Observability")]
    pub(super) structured_logs: Option<bool>,
    /// Log errors only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_QUIET", help_heading = "Observability")]
    pub(super) quiet: Option<bool>,

    /// Serve /debug on the admin port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_DEBUG", help_heading = "Administration")]
    pub(super) debug: Option<bool>,
    /// Serve POST /quitquitquit on the admin port, which shuts the proxy down
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_QUITQUITQUIT", help_heading = "Administration")]
    pub(super) quitquitquit: Option<bool>,
    /// Admin port on 127.0.0.1, opened by --debug and --quitquitquit [default: 9091]
    #[arg(
        long,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_ADMIN_PORT",
        help_heading = "Administration"
    )]
    pub(super) admin_port: Option<u16>,
    /// Unix socket of `status`, `shutdown` and --takeover [default: /run/countersign/proxy.sock
    /// for root, else proxy.sock in $XDG_RUNTIME_DIR/countersign]
    #[arg(
        long,
        value_name = "PATH",
        env = "COUNTERSIGN_PROXY_ADMIN_SOCKET",
        help_heading = "Administration"
    )]
    pub(super) admin_socket: Option<PathBuf>,

    /// Time after SIGTERM at which open sessions are terminated [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse,
          env = "COUNTERSIGN_PROXY_MAX_SIGTERM_DELAY", help_heading = "Shutdown")]
    pub(super) max_sigterm_delay: Option<Duration>,
    /// Time after SIGTERM during which new connections are still accepted [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse,
          env = "COUNTERSIGN_PROXY_MIN_SIGTERM_DELAY", help_heading = "Shutdown")]
    pub(super) min_sigterm_delay: Option<Duration>,
    /// Exit with status 0 after SIGTERM instead of 143
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true",
          require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_EXIT_ZERO_ON_SIGTERM", help_heading = "Shutdown")]
    pub(super) exit_zero_on_sigterm: Option<bool>,
}

impl Options {
    /// Returns these options, completed with those of `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            address: self.address.or(other.address),
            port: self.port.or(other.port),
            unix_socket: self.unix_socket.or(other.unix_socket),
            open_to_network: self.open_to_network.or(other.open_to_network),
            max_connections: self.max_connections.or(other.max_connections),
            login_timeout: self.login_timeout.or(other.login_timeout),
            profile: self.profile.or(other.profile),
            region: self.region.or(other.region),
            // The external id belongs to the last role, so both come from the same source.
            external_id: if self.assume_role.is_empty() {
                self.external_id.or(other.external_id)
            } else {
                self.external_id
            },
            assume_role: if self.assume_role.is_empty() {
                other.assume_role
            } else {
                self.assume_role
            },
            sign_host: self.sign_host.or(other.sign_host),
            lazy_refresh: self.lazy_refresh.or(other.lazy_refresh),
            run_connection_test: self.run_connection_test.or(other.run_connection_test),
            skip_failed_instance_config: self
                .skip_failed_instance_config
                .or(other.skip_failed_instance_config),
            health_check: self.health_check.or(other.health_check),
            prometheus: self.prometheus.or(other.prometheus),
            http_address: self.http_address.or(other.http_address),
            http_port: self.http_port.or(other.http_port),
            otlp_endpoint: self.otlp_endpoint.or(other.otlp_endpoint),
            structured_logs: self.structured_logs.or(other.structured_logs),
            quiet: self.quiet.or(other.quiet),
            debug: self.debug.or(other.debug),
            quitquitquit: self.quitquitquit.or(other.quitquitquit),
            admin_port: self.admin_port.or(other.admin_port),
            admin_socket: self.admin_socket.or(other.admin_socket),
            max_sigterm_delay: self.max_sigterm_delay.or(other.max_sigterm_delay),
            min_sigterm_delay: self.min_sigterm_delay.or(other.min_sigterm_delay),
            exit_zero_on_sigterm: self.exit_zero_on_sigterm.or(other.exit_zero_on_sigterm),
        }
    }
}
