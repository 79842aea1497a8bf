//! A PostgreSQL server whose `rds_iam` members log in with IAM alone.

mod configuration;
mod scram;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use countersign_authority::servers::MasterUser;
use countersign_core::name::{DbUser, InstanceId};

use crate::error::at;
use crate::layout::write_atomically;
use crate::os_user::PATH;
use crate::program::{run, run_with};
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::tls::{HOSTS, LocalCa};
use crate::{Installation, LocalError};

pub(crate) use configuration::HbaAuth;

/// The server's superuser, who is reached over the Unix socket only. RDS's is `rdsadmin`: `postgres` is what many call their
/// master user, who is no superuser there.
const fn superuser(maker: CreatedBy) -> &'static str {
    match maker {
        CreatedBy::CommandLine => "postgres",
        CreatedBy::Api => "rdsadmin",
    }
}

/// The database that a new server has.
pub(crate) const DATABASE: &str = "postgres";

/// How long a server may take to start or to stop, in seconds.
const PATIENCE: &str = "60";

/// How long a server may take to read its configuration again.
const RELOAD_PATIENCE: Duration = Duration::from_secs(30);

/// One server's directory and programs.
#[derive(Debug)]
pub(crate) struct Postgres {
    installation: Installation,
    instance: InstanceId,
    home: ServerDir,
    superuser: &'static str,
}

impl Postgres {
    pub(crate) const fn new(
        installation: Installation,
        instance: InstanceId,
        home: ServerDir,
        maker: CreatedBy,
    ) -> Self {
        Self { installation, instance, home, superuser: superuser(maker) }
    }

    /// Makes the data directory where there is none.
    pub(crate) fn create(&self) -> Result<(), LocalError> {
        self.home.create(|data| {
            let mut initdb = self.command("initdb");
            initdb.arg("--pgdata").arg(data).args([
                "--username",
                self.superuser,
                "--encoding",
                "UTF8",
                "--locale",
                "C",
                "--auth",
                "reject",
            ]);
            run(&mut initdb, "initdb").map(drop)
        })
    }

    /// Makes the data directory as a standby's of a server that listens below `sockets`, where there is none: it follows that
    /// server over the Unix socket, as the system user who owns the data of both.
    pub(crate) fn copy(&self, sockets: &Path, port: u16) -> Result<(), LocalError> {
        self.home.create(|data| {
            let mut backup = self.command("pg_basebackup");
            backup
                .arg("--pgdata")
                .arg(data)
                .arg("--host")
                .arg(sockets)
                .arg("--port")
                .arg(port.to_string());
            backup.args([
                "--username",
                self.superuser,
                "--no-password",
                "--write-recovery-conf",
                "--wal-method",
                "stream",
            ]);
            run(backup.args(["--checkpoint", "fast"]), "pg_basebackup").map(drop)
        })
    }

    /// Has a standby go on by itself.
    pub(crate) fn promote(&self) -> Result<(), LocalError> {
        self.control(&["promote", "--wait", "--timeout", PATIENCE])
    }

    /// Whether it follows another server: PostgreSQL takes the file away when it no longer does.
    pub(crate) fn is_standby(&self) -> bool {
        self.home.data().join("standby.signal").exists()
    }

    /// Waits until a standby takes logins: `pg_ctl` is content when it follows.
    fn wait_until_readable(&self, port: u16) -> Result<(), LocalError> {
        let deadline = Instant::now() + RELOAD_PATIENCE;
        loop {
            match self.sql(port, "SELECT 1", &[]) {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Writes the server's whole configuration: certificate, settings, and who may log in how.
    pub(crate) fn configure(
        &self,
        ca: &LocalCa,
        port: u16,
        gate: &HbaAuth<'_>,
        master: Option<&str>,
    ) -> Result<(), LocalError> {
        let tls = ca.issue(&HOSTS, &self.home.tls(), self.home.run_as())?;
        let etc = self.home.etc();
        let files = [
            (
                configuration::SETTINGS,
                configuration::settings(port, &self.home.data(), &self.home.run(), &etc, &tls),
            ),
            (
                configuration::ACCESS,
                configuration::host_based_access(
                    self.superuser,
                    gate,
                    self.by_password_alone(master),
                ),
            ),
            (
                configuration::ADMINISTRATORS,
                configuration::administrators(self.superuser, self.home.run_as().name().as_deref()),
            ),
        ];
        files.iter().try_for_each(|(name, text)| {
            write_atomically(&etc.join(name), text.as_bytes(), 0o644, None)
        })
    }

    /// Whether the server runs: also one that an earlier stack left behind.
    pub(crate) fn is_running(&self) -> bool {
        let mut status = self.command("pg_ctl");
        status.arg("status").arg("--pgdata").arg(self.home.data());
        status
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    /// Starts the server, or has one that runs read its configuration again; then the role that RDS has is there.
    pub(crate) fn start(&self, port: u16) -> Result<(), LocalError> {
        if self.is_running() { self.reload(port) } else { self.launch() }?;
        if self.is_standby() {
            return self.wait_until_readable(port);
        }
        self.sql(port, include_str!("postgres/roles.sql"), &[]).map(drop)
    }

    fn launch(&self) -> Result<(), LocalError> {
        let (log, beginning) = self.home.open_log()?;
        let copy = log.try_clone().map_err(at(&self.home.log()))?;
        let mut start = self.command("pg_ctl");
        start
            .args(["start", "--wait", "--timeout", PATIENCE, "--silent", "--pgdata"])
            .arg(self.home.data());
        // The layout's paths need no quoting.
        start.arg("--options").arg(format!(
            "-c config_file={}",
            self.home.etc().join(configuration::SETTINGS).display()
        ));
        let status = start
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(copy)
            .status()
            .map_err(at(&self.installation.program("pg_ctl")))?;
        if status.success() {
            return Ok(());
        }
        let output = format!("{status}: {}", self.home.logged_since(beginning));
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
                    self.home.log().display()
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops the server; its clients are cut off.
    pub(crate) fn stop(&self) -> Result<(), LocalError> {
        if self.is_running() {
            self.control(&["stop", "--wait", "--timeout", PATIENCE, "--mode", "fast"])
        } else {
            Ok(())
        }
    }

    /// Runs SQL as the superuser, with `variables` for `:'name'` in it.
    pub(crate) fn sql(
        &self,
        port: u16,
        script: &str,
        variables: &[(&str, &str)],
    ) -> Result<String, LocalError> {
        let mut psql = self.psql(port);
        psql.env("PGCLIENTENCODING", "UTF8")
            .env("PGOPTIONS", "-c default_transaction_read_only=off");
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--set",
            "ON_ERROR_STOP=1",
        ]);
        for (name, value) in variables {
            psql.arg("--set").arg(format!("{name}={value}"));
        }
        run_with(&mut psql, script, &format!("SQL on {}", self.instance))
    }

    /// Makes a user who logs in with IAM, or makes one of a user who is there.
    pub(crate) fn ensure_login(&self, port: u16, user: &DbUser) -> Result<(), LocalError> {
        let (user, variables) = (user.as_str(), [("name", user.as_str())]);
        if user == "rds_iam" {
            return Err(LocalError::Unusable(
                "rds_iam is the role that IAM users are members of: name another database user with --db-user".to_owned(),
            ));
        }
        if self.sql(port, "SELECT rolsuper FROM pg_roles WHERE rolname = :'name'", &variables)?
            == "t"
        {
            return Err(LocalError::Unusable(format!(
                "the database user {user:?} is a superuser: name another one with --db-user"
            )));
        }
        self.sql(port, include_str!("postgres/login.sql"), &variables).map(drop)
    }

    /// The master user, where IAM can't be asked of it. Since version 16 only a member of `rds_iam` lets others become one, as
    /// the master user must, and every member of it would meet IAM.
    fn by_password_alone<'a>(&self, master: Option<&'a str>) -> Option<&'a str> {
        master.filter(|_| self.installation.version.major() >= 16)
    }

    /// Makes the master user of RDS, who owns the database `postgres`, and another where one is named. The server hears of
    /// the password what it keeps of it, and no more.
    pub(crate) fn make_master(
        &self,
        port: u16,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        let variables = [("name", &*master.name), ("database", database.unwrap_or(DATABASE))];
        let verifier = scram::verifier(&master.password)?;
        self.sql(
            port,
            &format!("\\set verifier '{verifier}'\n{}", include_str!("postgres/master.sql")),
            &variables,
        )
        .map(drop)
    }

    /// Gives the master user another password.
    pub(crate) fn set_password(&self, port: u16, master: &MasterUser) -> Result<(), LocalError> {
        let verifier = scram::verifier(&master.password)?;
        let script =
            format!("\\set verifier '{verifier}'\n{}", include_str!("postgres/password.sql"));
        self.sql(port, &script, &[("name", &master.name)]).map(drop)
    }

    /// psql as the superuser, over the Unix socket, as whoever runs this program, but not with its environment.
    pub(crate) fn psql(&self, port: u16) -> Command {
        let mut psql = Command::new(self.installation.program("psql"));
        psql.env_clear()
            .env("PATH", PATH)
            .env("PGHOST", self.home.run())
            .env("PGPORT", port.to_string());
        psql.env("PGUSER", self.superuser).env("PGDATABASE", DATABASE);
        psql
    }

    fn control(&self, arguments: &[&str]) -> Result<(), LocalError> {
        let mut command = self.command("pg_ctl");
        command.args(arguments).arg("--silent").arg("--pgdata").arg(self.home.data());
        run(&mut command, &format!("pg_ctl {}", arguments.first().unwrap_or(&""))).map(drop)
    }

    fn command(&self, program: &str) -> Command {
        self.home.command(&self.installation.program(program))
    }
}

impl<'a> HbaAuth<'a> {
    /// By LDAP where there is an address for that, else by PAM.
    pub(crate) fn new(
        ldap: Option<SocketAddr>,
        service: &'a str,
        instance: &'a InstanceId,
    ) -> Self {
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
