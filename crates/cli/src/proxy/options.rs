//! What a whole proxy can be told, by flags, by the environment, or in `[proxy]` of the file: one table for all three.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use countersign_connect::credentials_cache::RoleArn;
use countersign_core::region::Region;

use super::config::SignHost;
use super::duration;

/// The settings of a proxy. What nobody says is `None`; [`super::plan()`] knows what holds then.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub(crate) struct Options {
    /// Where targets listen that say nothing else [default: 127.0.0.1]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "COUNTERSIGN_PROXY_ADDRESS",
        help_heading = "Listeners"
    )]
    pub(super) address: Option<IpAddr>,
    /// The port of the first target; each further one takes the next that no other target has [default: 5432 for PostgreSQL,
    /// 3306 for MySQL and MariaDB, each counted up]
    #[arg(
        long,
        short,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_PORT",
        help_heading = "Listeners"
    )]
    pub(super) port: Option<u16>,
    /// Listen on Unix sockets in this directory in place of TCP: DIR/NAME/.s.PGSQL.5432 for PostgreSQL, DIR/NAME for the others
    #[arg(
        long,
        short,
        value_name = "DIR",
        env = "COUNTERSIGN_PROXY_UNIX_SOCKET",
        help_heading = "Listeners"
    )]
    pub(super) unix_socket: Option<PathBuf>,
    /// Let everybody who reaches a listener in, without a password, from other machines too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_OPEN_TO_NETWORK", help_heading = "Listeners")]
    pub(super) open_to_network: Option<bool>,
    /// The most client connections at once, of all targets together; 0 is no limit [default: 0]
    #[arg(
        long,
        value_name = "NUMBER",
        env = "COUNTERSIGN_PROXY_MAX_CONNECTIONS",
        help_heading = "Listeners"
    )]
    pub(super) max_connections: Option<u32>,
    /// How long a client has for its login [default: 15s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, env = "COUNTERSIGN_PROXY_LOGIN_TIMEOUT",
          help_heading = "Listeners")]
    pub(super) login_timeout: Option<Duration>,

    /// The AWS profile whose credentials sign [default: the AWS SDK's whole chain]
    #[arg(
        long,
        value_name = "NAME",
        env = "COUNTERSIGN_PROXY_PROFILE",
        help_heading = "Credentials"
    )]
    pub(super) profile: Option<String>,
    /// The region of the databases [default: the one in the host name, then AWS_REGION, then the profile's]
    #[arg(
        long,
        value_name = "REGION",
        env = "COUNTERSIGN_PROXY_REGION",
        help_heading = "Credentials"
    )]
    pub(super) region: Option<Region>,
    /// A role to assume; several, one with the credentials of the other
    #[arg(
        long,
        value_name = "ARN",
        env = "COUNTERSIGN_PROXY_ASSUME_ROLE",
        value_delimiter = ',',
        help_heading = "Credentials"
    )]
    pub(super) assume_role: Vec<RoleArn>,
    /// What the trust policy of the last role asks for
    #[arg(
        long,
        value_name = "ID",
        env = "COUNTERSIGN_PROXY_EXTERNAL_ID",
        help_heading = "Credentials"
    )]
    pub(super) external_id: Option<String>,
    /// Sign for this host, not for the one that is dialled: behind a tunnel, the endpoint that RDS shows
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "COUNTERSIGN_PROXY_SIGN_HOST",
        help_heading = "Credentials"
    )]
    pub(super) sign_host: Option<SignHost>,
    /// Load credentials and open connections only when a client comes
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_LAZY_REFRESH", help_heading = "Credentials")]
    pub(super) lazy_refresh: Option<bool>,

    /// Log in to every target once before the proxy is ready, and end where one fails
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_RUN_CONNECTION_TEST", help_heading = "Start")]
    pub(super) run_connection_test: Option<bool>,
    /// Leave a target out whose settings are wrong, in place of not starting
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_SKIP_FAILED_INSTANCE_CONFIG", help_heading = "Start")]
    pub(super) skip_failed_instance_config: Option<bool>,

    /// Answer /startup, /readiness and /liveness over HTTP
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_HEALTH_CHECK", help_heading = "Observation")]
    pub(super) health_check: Option<bool>,
    /// Answer /metrics over HTTP, in Prometheus' format
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_PROMETHEUS", help_heading = "Observation")]
    pub(super) prometheus: Option<bool>,
    /// Where health and metrics are served [default: 127.0.0.1]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "COUNTERSIGN_PROXY_HTTP_ADDRESS",
        help_heading = "Observation"
    )]
    pub(super) http_address: Option<IpAddr>,
    /// The port of health and metrics [default: 9090]
    #[arg(
        long,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_HTTP_PORT",
        help_heading = "Observation"
    )]
    pub(super) http_port: Option<u16>,
    /// Send traces to this OpenTelemetry collector, over HTTP
    #[arg(
        long,
        value_name = "URL",
        env = "COUNTERSIGN_PROXY_OTLP_ENDPOINT",
        help_heading = "Observation"
    )]
    pub(super) otlp_endpoint: Option<String>,
    /// Log as JSON, a record a line
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_STRUCTURED_LOGS", help_heading = "Observation")]
    pub(super) structured_logs: Option<bool>,
    /// Log errors only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_QUIET", help_heading = "Observation")]
    pub(super) quiet: Option<bool>,

    /// Serve /debug on the admin port
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_DEBUG", help_heading = "Administration")]
    pub(super) debug: Option<bool>,
    /// Take POST /quitquitquit on the admin port: it ends the proxy
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_QUITQUITQUIT", help_heading = "Administration")]
    pub(super) quitquitquit: Option<bool>,
    /// The admin port, on this machine alone; it is open where --debug or --quitquitquit is given [default: 9091]
    #[arg(
        long,
        value_name = "PORT",
        env = "COUNTERSIGN_PROXY_ADMIN_PORT",
        help_heading = "Administration"
    )]
    pub(super) admin_port: Option<u16>,
    /// The Unix socket of `status`, `shutdown` and --takeover [default: /run/countersign/proxy.sock for root, else proxy.sock
    /// in $XDG_RUNTIME_DIR/countersign]
    #[arg(
        long,
        value_name = "PATH",
        env = "COUNTERSIGN_PROXY_ADMIN_SOCKET",
        help_heading = "Administration"
    )]
    pub(super) admin_socket: Option<PathBuf>,

    /// How long sessions have to end after SIGTERM; then they are cut off [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, env = "COUNTERSIGN_PROXY_MAX_SIGTERM_DELAY",
          help_heading = "End")]
    pub(super) max_sigterm_delay: Option<Duration>,
    /// How long new connections are still taken after SIGTERM [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, env = "COUNTERSIGN_PROXY_MIN_SIGTERM_DELAY",
          help_heading = "End")]
    pub(super) min_sigterm_delay: Option<Duration>,
    /// End with status 0 after SIGTERM, in place of 143
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true, hide_possible_values = true,
          env = "COUNTERSIGN_PROXY_EXIT_ZERO_ON_SIGTERM", help_heading = "End")]
    pub(super) exit_zero_on_sigterm: Option<bool>,
}

impl Options {
    /// These, and what `other` says where they say nothing.
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            address: self.address.or(other.address),
            port: self.port.or(other.port),
            unix_socket: self.unix_socket.or(other.unix_socket),
            open_to_network: self.open_to_network.or(other.open_to_network),
            max_connections: self.max_connections.or(other.max_connections),
            login_timeout: self.login_timeout.or(other.login_timeout),
            profile: self.profile.or(other.profile),
            region: self.region.or(other.region),
            // The id is the last role's: it goes where the roles go.
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
