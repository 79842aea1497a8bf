//! `countersign local up` and `countersign local install`.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use countersign_authority::issuer::DEFAULT_URL;
use countersign_authority::throttle::RDS_LIMIT;
use countersign_authority::verifier::{ContextKeys, VerifierConfig};
use countersign_aws_api::Machine;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{AccountId, Engine, InstanceId};
use countersign_core::region::Region;
use countersign_local::stack::{AuthPreference, Plan, ServerSpec, Stack};
use countersign_local::state::State;
use countersign_local::{Installation, InvalidVersion, Layout, Version};
use tokio::signal::unix::{SignalKind, signal};

use super::context::{failure, unpacked};
use super::status::server_table;
use crate::output;
use crate::process::{installed_library, io_failure, runtime};

/// Time limit of a start in the background, including unpacking and initializing on a slow disk.
const START_TIMEOUT: Duration = Duration::from_secs(600);

const EXAMPLES: &str = "Examples:
  countersign local up
  countersign local up --engine postgres,mariadb,mysql --detach
  countersign local up --engine postgres:15,postgres:18,mariadb:10.11
  countersign local up --dir /tmp/mine --port 5432 --authentication ldap
  countersign local up --state my-identities.toml
  countersign local up --allow-user mysql      # for a server that `local instance add` attaches";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Servers to start: postgres, mariadb or mysql, each the newest installed version unless one
    /// is given [default: those of the previous run, otherwise postgres]. MariaDB and MySQL are
    /// unpacked if they are not installed
    #[arg(long, value_name = "ENGINE[:VERSION]", value_delimiter = ',')]
    engine: Vec<EngineVersion>,
    /// Return when the stack is ready, and leave it running
    #[arg(long)]
    detach: bool,
    /// Port of the first server [default: the previous one, otherwise a free one]
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Authentication method of PostgreSQL servers; MariaDB and MySQL use the plugin
    #[arg(long, value_enum, default_value_t)]
    authentication: Authentication,
    /// PAM module [default: beside this program]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_PAM_MODULE")]
    pam_module: Option<PathBuf>,
    /// Plugin for MariaDB and MySQL [default: beside this program]
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_MYSQL_PLUGIN")]
    mysql_plugin: Option<PathBuf>,
    /// AWS account of all resources
    #[arg(long, value_name = "ACCOUNT", default_value = "123456789012")]
    account: AccountId,
    /// AWS region of all resources
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: Region,
    /// Address of the LDAP listener: tokens are sent to it in clear text
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ldap_address: IpAddr,
    /// Maximum number of logins per second to one instance; 0 disables the limit
    #[arg(long, value_name = "NUMBER", default_value_t = RDS_LIMIT.get())]
    max_logins_per_second: u32,
    /// Allow attached database servers of this system user to query the verifier
    #[arg(long, value_name = "NAME")]
    allow_user: Vec<String>,
    /// Provide aws:SourceIp to policies, which RDS does not; only servers that use PAM send it
    #[arg(long)]
    source_conditions: bool,
    /// Serve instance metadata (IMDSv2) of a machine with this instance profile on loopback, where
    /// every user of this system can get the credentials of the profile's role
    #[arg(long, value_name = "NAME")]
    instance_profile: Option<String>,
    /// Also serve metadata requests without a session token (IMDSv1)
    #[arg(long, requires = "instance_profile")]
    imds_v1: bool,
    /// URL of the OpenID Connect issuer of service account tokens; must lead to this stack if
    /// others verify the tokens
    #[arg(long, value_name = "URL", default_value = DEFAULT_URL, value_parser = issuer_url)]
    issuer_url: String,
    /// File of accounts, users, roles and policies, applied at each start instead of the built-in
    /// one; see `countersign authority import`
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Run in a new session: started by --detach
    #[arg(long, hide = true)]
    background: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  countersign local install --engine postgres:18\n  countersign \
     local install --engine mysql"
)]
pub(super) struct InstallArguments {
    /// Server: PostgreSQL needs a version, MariaDB and MySQL have only one
    #[arg(long, value_name = "ENGINE[:VERSION]")]
    engine: EngineVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
enum Authentication {
    /// PAM if /etc/pam.d is writable, otherwise LDAP
    #[default]
    Auto,
    /// PAM
    Pam,
    /// LDAP on loopback
    Ldap,
}

/// An engine with an optional version.
#[derive(Debug, Clone)]
struct EngineVersion {
    engine: Engine,
    version: Option<Version>,
}

impl std::str::FromStr for EngineVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (engine, version) =
            text.split_once(':').map_or((text, None), |(engine, version)| (engine, Some(version)));
        let engine = engine.parse::<Engine>().map_err(|error| error.to_string())?;
        let version = version
            .map(str::parse)
            .transpose()
            .map_err(|error: InvalidVersion| error.to_string())?;
        Ok(Self { engine, version })
    }
}

impl std::fmt::Display for EngineVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.version {
            Some(version) => write!(f, "{} {version}", self.engine),
            None => write!(f, "{}", self.engine),
        }
    }
}

impl EngineVersion {
    /// Returns the instance name: `postgres`, `postgres-15` with a version, `mariadb-10-11` with a
    /// dot.
    fn instance(&self) -> Result<InstanceId, Failure> {
        let engine = self.engine;
        let name = self
            .version
            .map_or(engine.to_string(), |version| format!("{engine}-{version}").replace('.', "-"));
        name.parse().map_err(|error| Failure::new(Class::Configuration, format!("{error}")))
    }
}

/// Parses the URL of an issuer, which has no query and no fragment.
/// Source: OpenID Connect Discovery 1.0, section 2.
fn issuer_url(text: &str) -> Result<String, String> {
    let host =
        text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte);
    if host.is_empty()
        || host.starts_with('/')
        || host.ends_with('/')
        || host.len() > 240
        || !host.bytes().all(plain)
    {
        return Err("not of the form https://HOST or https://HOST/PATH, without a trailing slash"
            .to_owned());
    }
    Ok(text.to_owned())
}

/// Unpacks a server unless it is installed.
pub(super) fn install(arguments: &InstallArguments) -> Result<ExitCode, Failure> {
    let EngineVersion { engine, version } = arguments.engine;
    let installed = match Installation::find(engine, version, &unpacked()) {
        Ok(found) if version.is_some() || engine != Engine::Postgres => Ok(found),
        _ => {
            output::note(&format!("unpacking {} below {}", arguments.engine, unpacked().display()));
            countersign_local::install(engine, version, &unpacked())
        }
    };
    let installed = installed.map_err(|error| failure(&error))?;
    let place = installed.root.display();
    output::line(&format!("{} {}  {place}", installed.engine, installed.version))
        .map(|()| ExitCode::SUCCESS)
}

/// Starts the stack in the foreground or in the background.
pub(super) fn run(layout: &Layout, arguments: &Arguments) -> Result<ExitCode, Failure> {
    if arguments.detach {
        return detach(layout);
    }
    if arguments.background {
        rustix::process::setsid().map_err(|error| {
            Failure::new(Class::Internal, format!("cannot create a session: {error}"))
        })?;
    }
    output::log_to_stderr();
    // The process that started it in the background announces that it is ready.
    let announce: fn(&State) =
        if arguments.background { |_| {} } else { |state| output::note(&ready(state)) };
    runtime()?.block_on(run_until_signal(plan(layout, arguments)?, announce))
}

fn plan(layout: &Layout, arguments: &Arguments) -> Result<Plan, Failure> {
    let ports = std::iter::once(arguments.port).chain(std::iter::repeat(None));
    let mut servers: Vec<ServerSpec> = Vec::new();
    for (engine, port) in arguments.engine.iter().zip(ports) {
        let instance = engine.instance()?;
        if servers.iter().any(|server| server.instance == instance) {
            return Err(Failure::new(
                Class::Usage,
                format!("cannot start {instance} twice: --engine repeats it"),
            ));
        }
        servers.push(ServerSpec { instance, engine: engine.engine, version: engine.version, port });
    }
    if servers.is_empty() && arguments.port.is_some() {
        return Err(Failure::new(
            Class::Usage,
            "cannot use --port without --engine: it sets the port of the first server",
        ));
    }
    Ok(Plan {
        layout: layout.clone(),
        servers,
        preference: match arguments.authentication {
            Authentication::Auto => AuthPreference::Automatic,
            Authentication::Pam => AuthPreference::Pam,
            Authentication::Ldap => AuthPreference::Ldap,
        },
        pam_module: arguments
            .pam_module
            .clone()
            .or_else(|| installed_library("pam_countersign.so")),
        mysql_plugin: arguments
            .mysql_plugin
            .clone()
            .or_else(|| installed_library("mysql_countersign.so")),
        unpacked: unpacked(),
        account: arguments.account.clone(),
        region: arguments.region.clone(),
        ldap_address: arguments.ldap_address,
        allowed_users: arguments.allow_user.clone(),
        settings: VerifierConfig {
            limit: NonZeroU32::new(arguments.max_logins_per_second),
            context_keys: if arguments.source_conditions {
                ContextKeys::WithSourceIp
            } else {
                ContextKeys::AsRds
            },
        },
        issuer: arguments.issuer_url.clone(),
        machine: arguments.instance_profile.clone().map(|profile| Machine {
            account: arguments.account.clone(),
            profile,
            region: arguments.region.clone(),
            version_one: arguments.imds_v1,
        }),
        seed_file: arguments.state.clone(),
    })
}

/// Runs the stack until a signal. A signal during the start takes effect after it.
async fn run_until_signal(plan: Plan, announce: fn(&State)) -> Result<ExitCode, Failure> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Failure::new(Class::Internal, format!("cannot register signal handlers: {error}"))
        })
    };
    let (mut terminate, mut interrupt, mut hangup) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
        listen(SignalKind::hangup())?,
    );
    let mut stack = Stack::up(plan, |step| output::note(&format!("· {step}")))
        .await
        .map_err(|error| failure(&error))?;
    // On standard error: a closed standard output must not terminate the stack.
    announce(stack.state());
    let ended = tokio::select! {
        _ = terminate.recv() => Ok(ExitCode::SUCCESS),
        _ = interrupt.recv() => Ok(ExitCode::SUCCESS),
        _ = hangup.recv() => Ok(ExitCode::SUCCESS),
        () = stack.ended() => Err(Failure::new(Class::Internal, "a listener of the authority \
         ended unexpectedly")),
    };
    output::note("· stopping");
    stack.down().await.map_err(|error| failure(&error))?;
    ended
}

fn ready(state: &State) -> String {
    let table = server_table(state, &[]);
    format!("{table}\nready: eval \"$(countersign local env --dir {})\"", state.dir.display())
}

/// Starts this program again in the background, and waits until its stack is ready.
fn detach(layout: &Layout) -> Result<ExitCode, Failure> {
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| io_failure(&what, &error)
    };
    std::fs::create_dir_all(layout.root()).map_err(failed(layout.root()))?;
    let path = layout.output_file();
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed(&path))?;
    let mut printed = file.metadata().map_err(failed(&path))?.len();
    let copy = file.try_clone().map_err(failed(&path))?;
    let program = env::current_exe().map_err(failed(Path::new("this program")))?;
    let arguments = env::args_os()
        .skip(1)
        .map(|argument| if argument == "--detach" { "--background".into() } else { argument });
    let spawned = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .spawn();
    let mut child = spawned.map_err(failed(Path::new("this program")))?;

    let deadline = Instant::now() + START_TIMEOUT;
    let mut output_log = File::open(&path).map_err(failed(&path))?;
    loop {
        printed = print_output(&mut output_log, printed).map_err(failed(&path))?;
        if let Some(status) = exit_code(&mut child)? {
            print_output(&mut output_log, printed).map_err(failed(&path))?;
            return Ok(status);
        }
        if let Some(state) =
            State::read_running(layout).ok().filter(|state| state.pid == child.id())
        {
            print_output(&mut output_log, printed).map_err(failed(&path))?;
            output::note(&ready(&state));
            return Ok(ExitCode::SUCCESS);
        }
        if Instant::now() > deadline {
            return Err(Failure::new(
                Class::TimedOut,
                format!(
                    "cannot start the stack: not ready after {} s; see {}",
                    START_TIMEOUT.as_secs(),
                    path.display()
                ),
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Prints the part of `file` after `from`, and returns its end.
fn print_output(file: &mut File, from: u64) -> std::io::Result<u64> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(from))?;
    let read = file.read_to_string(&mut text)?;
    if read > 0 {
        output::note(text.trim_end());
    }
    Ok(from + u64::try_from(read).unwrap_or(0))
}

fn exit_code(child: &mut Child) -> Result<Option<ExitCode>, Failure> {
    let status = child.try_wait().map_err(|error| io_failure("the background process", &error))?;
    Ok(status.map(|status| {
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from)
    }))
}
