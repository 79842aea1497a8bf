//! A PostgreSQL server whose `rds_iam` members log in with IAM alone.

mod configuration;

use std::fs::{self, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use countersign_core::name::InstanceId;

use crate::error::at;
use crate::installation::run;
use crate::layout::{make_directory, write_atomically};
use crate::os_user::{PATH, RunAs};
use crate::tls::LocalCa;
use crate::{Installation, Layout, LocalError, Version};

pub(crate) use configuration::Gate;

/// The server's superuser: reached over the Unix socket only.
pub(crate) const SUPERUSER: &str = "postgres";

/// The database that a new server has.
pub(crate) const DATABASE: &str = "postgres";

/// The names in the server's certificate, the first being the one that tokens are signed for.
pub(crate) const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long a server may take to start or to stop, in seconds.
const PATIENCE: &str = "60";

/// How long a server may take to read its configuration again.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// One server's directories and programs.
#[derive(Debug)]
pub(crate) struct Postgres {
    installation: Installation,
    instance: InstanceId,
    home: PathBuf,
    run_as: RunAs,
}

impl Postgres {
    pub(crate) fn new(installation: Installation, instance: InstanceId, layout: &Layout, run_as: RunAs) -> Self {
        Self { installation, home: layout.instance(&instance), instance, run_as }
    }

    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    fn run_directory(&self) -> PathBuf {
        self.home.join("run")
    }

    fn log(&self) -> PathBuf {
        self.home.join("server.log")
    }

    /// The version of the data that is there already.
    pub(crate) fn data_version(layout: &Layout, instance: &InstanceId) -> Option<Version> {
        fs::read_to_string(layout.instance(instance).join("data/PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Makes the data directory where there is none; one that was half made is made anew.
    pub(crate) fn create(&self) -> Result<(), LocalError> {
        for directory in [self.home.clone(), self.home.join("etc"), self.home.join("tls")] {
            make_directory(&directory, 0o755)?;
        }
        if !self.run_directory().exists() {
            make_directory(&self.run_directory(), 0o755)?;
            self.run_as.own(&self.run_directory())?;
        }
        if self.data().join("PG_VERSION").exists() {
            return Ok(());
        }
        let partial = self.home.join("data.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(at(&partial))?;
        }
        make_directory(&partial, 0o700)?;
        self.run_as.own(&partial)?;
        let mut initdb = self.command("initdb");
        initdb.arg("--pgdata").arg(&partial).args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C", "--auth", "reject"]);
        run(&mut initdb, "initdb")?;
        fs::rename(&partial, self.data()).map_err(at(&partial))
    }

    /// Writes the server's whole configuration: certificate, settings, and who may log in how.
    pub(crate) fn configure(&self, ca: &LocalCa, port: u16, gate: &Gate<'_>) -> Result<(), LocalError> {
        let tls = ca.issue(&HOSTS, &self.home.join("tls"), &self.run_as)?;
        let etc = self.home.join("etc");
        let files = [
            (configuration::SETTINGS, configuration::settings(port, &self.data(), &self.run_directory(), &etc, &tls)),
            (configuration::ACCESS, configuration::host_based_access(gate)),
            (configuration::ADMINISTRATORS, configuration::administrators()),
        ];
        files.iter().try_for_each(|(name, text)| write_atomically(&etc.join(name), text.as_bytes(), 0o644, None))
    }

    /// Whether the server runs: also one that an earlier stack left behind.
    pub(crate) fn is_running(&self) -> bool {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("--pgdata").arg(self.data());
        status.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    }

    /// Starts the server, or has one that runs read its configuration again.
    pub(crate) fn start(&self, port: u16) -> Result<(), LocalError> {
        if self.is_running() {
            return self.reload(port);
        }
        // Opened here, as whoever runs the stack: pg_ctl and the server inherit it, so that they needn't be able to make it.
        let path = self.log();
        let log = OpenOptions::new().create(true).append(true).mode(0o600).open(&path).map_err(at(&path))?;
        let beginning = log.metadata().map_err(at(&path))?.len();
        let mut start = self.command("pg_ctl");
        start.args(["start", "--wait", "--timeout", PATIENCE, "--silent", "--pgdata"]).arg(self.data());
        // The layout's paths need no quoting.
        start.arg("--options").arg(format!("-c config_file={}", self.home.join("etc").join(configuration::SETTINGS).display()));
        let copy = log.try_clone().map_err(at(&path))?;
        let status = start.stdin(Stdio::null()).stdout(log).stderr(copy).status().map_err(at(&self.installation.program("pg_ctl")))?;
        if status.success() {
            return Ok(());
        }
        let said = fs::read(&path).map_err(at(&path))?;
        let said = said.get(usize::try_from(beginning).unwrap_or(0)..).unwrap_or_default();
        let output = format!("{status}: {} (all of it is in {})", String::from_utf8_lossy(said).trim(), path.display());
        Err(LocalError::Program { program: format!("PostgreSQL, as {}", self.instance), output })
    }

    /// Has the server read its configuration, and waits until it has: it does so in its own time.
    fn reload(&self, port: u16) -> Result<(), LocalError> {
        let loaded = || self.sql(port, "SELECT pg_conf_load_time()", &[]);
        let before = loaded()?;
        self.control(&["reload"])?;
        let deadline = Instant::now() + RELOAD_PATIENCE;
        while loaded()? == before {
            if Instant::now() > deadline {
                return Err(LocalError::TimedOut(format!(
                    "{} does not read its configuration: see {}",
                    self.instance,
                    self.log().display()
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops the server; its clients are cut off.
    pub(crate) fn stop(&self) -> Result<(), LocalError> {
        if self.is_running() { self.control(&["stop", "--wait", "--timeout", PATIENCE, "--mode", "fast"]) } else { Ok(()) }
    }

    /// Runs SQL as the superuser, with `variables` for `:'name'` in it.
    pub(crate) fn sql(&self, port: u16, script: &str, variables: &[(&str, &str)]) -> Result<String, LocalError> {
        use std::io::Write;

        let mut psql = self.psql(port);
        psql.env("PGCLIENTENCODING", "UTF8").env("PGOPTIONS", "-c default_transaction_read_only=off");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        for (name, value) in variables {
            psql.arg("--set").arg(format!("{name}={value}"));
        }
        let failed = |output: String| LocalError::Program { program: format!("SQL on {}", self.instance), output };
        let spawned = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| failed(error.to_string()))?;
        if let Some(mut input) = child.stdin.take() {
            input.write_all(script.as_bytes()).map_err(|error| failed(error.to_string()))?;
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(failed(text(&output.stderr))) }
    }

    /// psql as the superuser, over the Unix socket, as whoever runs this program, but not with its environment.
    pub(crate) fn psql(&self, port: u16) -> Command {
        let mut psql = Command::new(self.installation.program("psql"));
        psql.env_clear().env("PATH", PATH).env("PGHOST", self.run_directory()).env("PGPORT", port.to_string());
        psql.env("PGUSER", SUPERUSER).env("PGDATABASE", DATABASE);
        psql
    }

    fn control(&self, arguments: &[&str]) -> Result<(), LocalError> {
        let mut command = self.command("pg_ctl");
        command.args(arguments).arg("--silent").arg("--pgdata").arg(self.data());
        run(&mut command, &format!("pg_ctl {}", arguments.first().unwrap_or(&""))).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        self.run_as.command(&self.installation.program(program), &self.home)
    }
}

impl<'a> Gate<'a> {
    /// By LDAP where there is an address for that, else by PAM.
    pub(crate) fn new(ldap: Option<SocketAddr>, service: &'a str, instance: &'a InstanceId) -> Self {
        match ldap {
            // The server is on this machine: an address for all of them is reached on loopback.
            Some(address) if address.ip().is_unspecified() => {
                Self::Ldap { address: (Ipv4Addr::LOCALHOST, address.port()).into(), instance }
            }
            Some(address) => Self::Ldap { address, instance },
            None => Self::Pam { service },
        }
    }
}

/// A port that nothing listens on just now.
pub(crate) fn free_port() -> Result<u16, LocalError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|error| LocalError::Unusable(format!("there is no free port: {error}")))
}

/// Whether `port` can be listened on.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
