//! A PostgreSQL server whose `rds_iam` members log in with IAM only.

mod configuration;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use countersign_authority::servers::MasterUser;
use countersign_core::credentials::Secret;
use countersign_core::name::{DbUser, InstanceId};
use countersign_wire::pg::scram::ScramVerifier;

use crate::error::at;
use crate::layout::write_atomically;
use crate::os_user::PATH;
use crate::program::{run, run_with};
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::tls::{HOSTS, LocalCa};
use crate::{Installation, LocalError};

pub(crate) use configuration::HbaAuth;

/// Returns the name of the superuser, who connects over the Unix socket only.
///
/// RDS's superuser is `rdsadmin`. Many operators name their master user `postgres`, who is not a
/// superuser on RDS.
const fn superuser(created_by: CreatedBy) -> &'static str {
    match created_by {
        CreatedBy::CommandLine => "postgres",
        CreatedBy::Api => "rdsadmin",
    }
}

/// Database that a new server has.
pub(crate) const DATABASE: &str = "postgres";

/// Time limit of a start or stop in seconds.
const CONTROL_TIMEOUT: &str = "60";

/// Time limit of a configuration reload.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Directory and programs of one server.
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
        created_by: CreatedBy,
    ) -> Self {
        Self { installation, instance, home, superuser: superuser(created_by) }
    }

    /// Creates the data directory if there is none.
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

    /// Creates the data directory as a standby of the server whose socket is in `sockets`.
    ///
    /// The standby replicates over the Unix socket, as the system user that owns the data of both.
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

    /// Promotes a standby.
    pub(crate) fn promote(&self) -> Result<(), LocalError> {
        self.control(&["promote", "--wait", "--timeout", CONTROL_TIMEOUT])
    }

    /// Returns true for a standby. PostgreSQL deletes the file on promotion.
    pub(crate) fn is_standby(&self) -> bool {
        self.home.data().join("standby.signal").exists()
    }

    /// Waits until a standby accepts connections: `pg_ctl` waits only for its start.
    fn wait_until_readable(&self, port: u16) -> Result<(), LocalError> {
        let deadline = Instant::now() + RELOAD_TIMEOUT;
        loop {
            match self.sql(port, "SELECT 1", &[]) {
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => thread::sleep(Duration::from_millis(20)),
                Ok(_) => return Ok(()),
            }
        }
    }

    /// Writes the server's whole configuration: certificate, settings, and client authentication.
    pub(crate) fn configure(
        &self,
        ca: &LocalCa,
        port: u16,
        hba: &HbaAuth<'_>,
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
                configuration::HBA,
                configuration::hba_file(self.superuser, hba, self.password_only_user(master)),
            ),
            (
                configuration::IDENT,
                configuration::ident_file(self.superuser, self.home.run_as().name().as_deref()),
            ),
        ];
        files.iter().try_for_each(|(name, text)| {
            write_atomically(&etc.join(name), text.as_bytes(), 0o644, None)
        })
    }

    /// Returns true if the server runs, including one that an earlier stack left running.
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

    /// Starts the server, or reloads the configuration of a running one; then creates RDS's roles.
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
            .args(["start", "--wait", "--timeout", CONTROL_TIMEOUT, "--silent", "--pgdata"])
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

    /// Reloads the configuration, and waits until the server has read it.
    fn reload(&self, port: u16) -> Result<(), LocalError> {
        let loaded = || self.sql(port, "SELECT pg_conf_load_time()", &[]);
        let before = loaded()?;
        self.control(&["reload"])?;
        let deadline = Instant::now() + RELOAD_TIMEOUT;
        while loaded()? == before {
            if Instant::now() > deadline {
                return Err(LocalError::TimedOut(format!(
                    "cannot reload {}: it did not read its configuration in time; see {}",
                    self.instance,
                    self.home.log().display()
                )));
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Stops the server and disconnects its clients.
    pub(crate) fn stop(&self) -> Result<(), LocalError> {
        if self.is_running() {
            self.control(&["stop", "--wait", "--timeout", CONTROL_TIMEOUT, "--mode", "fast"])
        } else {
            Ok(())
        }
    }

    /// Runs SQL as the superuser. `variables` are available as `:'name'`.
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

    /// Creates a user that logs in with IAM, or converts an existing user.
    pub(crate) fn ensure_login(&self, port: u16, user: &DbUser) -> Result<(), LocalError> {
        let (user, variables) = (user.as_str(), [("name", user.as_str())]);
        if user == "rds_iam" {
            return Err(LocalError::Unusable(
                "cannot use rds_iam as a database user: it is the role of IAM users; name another \
                 one with --db-user"
                    .to_owned(),
            ));
        }
        if self.sql(port, "SELECT rolsuper FROM pg_roles WHERE rolname = :'name'", &variables)?
            == "t"
        {
            return Err(LocalError::Unusable(format!(
                "cannot use the database user {user:?}: it is a superuser; name another one with \
                 --db-user"
            )));
        }
        self.sql(port, include_str!("postgres/login.sql"), &variables).map(drop)
    }

    /// Returns the master user if it cannot be required to use IAM.
    ///
    /// Since PostgreSQL 16 only a member of `rds_iam` may grant it, as the master user must, and
    /// every member would be required to use IAM.
    fn password_only_user<'a>(&self, master: Option<&'a str>) -> Option<&'a str> {
        master.filter(|_| self.installation.version.major() >= 16)
    }

    /// Creates the RDS master user, who owns the database `postgres`, and `database` if named.
    ///
    /// The server receives only the SCRAM verifier of the password.
    pub(crate) fn create_master(
        &self,
        port: u16,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        let variables = [("name", &*master.name), ("database", database.unwrap_or(DATABASE))];
        let verifier = scram_verifier(&master.password)?;
        self.sql(
            port,
            &format!("\\set verifier '{verifier}'\n{}", include_str!("postgres/master.sql")),
            &variables,
        )
        .map(drop)
    }

    /// Changes the master user's password.
    pub(crate) fn set_password(&self, port: u16, master: &MasterUser) -> Result<(), LocalError> {
        let verifier = scram_verifier(&master.password)?;
        let script =
            format!("\\set verifier '{verifier}'\n{}", include_str!("postgres/password.sql"));
        self.sql(port, &script, &[("name", &master.name)]).map(drop)
    }

    /// Returns a psql command as the superuser over the Unix socket, as the current system user and
    /// without its environment.
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

/// Derives the SCRAM verifier that PostgreSQL stores, so that the password reaches neither the
/// server nor its log.
fn scram_verifier(password: &Secret) -> Result<String, LocalError> {
    let verifier = ScramVerifier::new(password).map_err(|error| {
        LocalError::Unusable(format!("cannot hash the password: no random numbers: {error}"))
    })?;
    Ok(verifier.encode())
}

impl<'a> HbaAuth<'a> {
    /// Selects LDAP if it has an address, otherwise PAM.
    pub(crate) fn new(
        ldap: Option<SocketAddr>,
        service: &'a str,
        instance: &'a InstanceId,
    ) -> Self {
        match ldap {
            // The server runs on this machine, so an unspecified address is reached on loopback.
            Some(address) if address.ip().is_unspecified() => {
                Self::Ldap { address: (Ipv4Addr::LOCALHOST, address.port()).into(), instance }
            }
            Some(address) => Self::Ldap { address, instance },
            None => Self::Pam { service },
        }
    }
}
