//! A MariaDB or MySQL server whose `AWSAuthenticationPlugin` accounts log in with IAM only.

mod configuration;
mod process;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use countersign_authority::servers::MasterUser;
use countersign_core::name::{DbUser, Engine, InstanceId};
use rustix::process::Signal;
use zeroize::Zeroizing;

use crate::error::at;
use crate::installation::server_program;
use crate::layout::write_atomically;
use crate::os_user::{PATH, administrators};
use crate::program::run_with;
use crate::server_dir::ServerDir;
use crate::state::CreatedBy;
use crate::tls::{HOSTS, LocalCa};
use crate::{Installation, Layout, LocalError};

use configuration::{PLUGIN, Settings, literal};

pub(crate) use configuration::DATABASE;

/// Time limit of a start or stop.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(90);

/// Error of the clients if no server listens on the socket.
const NOT_LISTENING: &str = "ERROR 2002 ";

/// Interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

/// Directory and programs of one server.
#[derive(Debug)]
pub(crate) struct Mysql {
    installation: Installation,
    instance: InstanceId,
    home: ServerDir,
    created_by: CreatedBy,
}

impl Mysql {
    pub(crate) const fn new(
        installation: Installation,
        instance: InstanceId,
        home: ServerDir,
        created_by: CreatedBy,
    ) -> Self {
        Self { installation, instance, home, created_by }
    }

    fn socket(&self) -> PathBuf {
        self.home.run().join("mysqld.sock")
    }

    /// Creates the data directory if there is none.
    ///
    /// The initializing program holds the log's lock as the server does. One that a killed stack
    /// left running is stopped first, because its work is done anew.
    pub(crate) fn create(&self) -> Result<(), LocalError> {
        if !self.home.data().exists() {
            stop(&self.home)?;
        }
        self.home.create(|data| {
            let root = &self.installation.root;
            let (program, own) = match self.installation.engine {
                Engine::Mariadb => (
                    "mariadb-install-db",
                    vec![
                        "--skip-test-db".to_owned(),
                        "--auth-root-authentication-method=socket".to_owned(),
                    ],
                ),
                _ => (
                    "mysqld",
                    vec![
                        "--initialize-insecure".to_owned(),
                        format!("--lc-messages-dir={}", root.join("usr/share/mysql").display()),
                    ],
                ),
            };
            let mut command = self.home.command(&self.installation.program(program));
            command.env("TMPDIR", self.home.run());
            command.arg("--no-defaults").arg(format!("--basedir={}", root.join("usr").display()));
            command
                .arg(format!("--datadir={}", data.display()))
                .arg("--innodb-use-native-aio=OFF")
                .args(own);
            let (log, beginning) = self.home.open_log()?;
            process::lock(&log, &self.home.log())?;
            let status = process::spawn(command, log)
                .and_then(|mut child| child.wait())
                .map_err(at(&self.installation.program(program)))?;
            if status.success() {
                return Ok(());
            }
            Err(LocalError::Program {
                program: program.to_owned(),
                output: format!("{status}: {}", self.home.logged_since(beginning)),
            })
        })
    }

    /// Writes the server's whole configuration: certificate, settings, plugins, and the init file.
    pub(crate) fn configure(
        &self,
        ca: &LocalCa,
        port: u16,
        layout: &Layout,
    ) -> Result<(), LocalError> {
        self.link_plugins(&layout.mysql_plugin())?;
        let tls = ca.issue(&HOSTS, &self.home.tls(), self.home.run_as())?;
        let settings = Settings {
            installation: &self.installation,
            instance: &self.instance,
            home: &self.home,
            socket: &self.socket(),
            port,
            tls: &tls,
            ca: &layout.ca(),
            verifier: &layout.socket(),
        };
        let files = [
            (configuration::SETTINGS, settings.text()),
            (
                configuration::INIT,
                configuration::init_file(self.installation.engine, &administrators()),
            ),
        ];
        files.iter().try_for_each(|(name, text)| {
            write_atomically(&self.home.etc().join(name), text.as_bytes(), 0o644, None)
        })
    }

    /// Fills the plugin directory with links to the server's own plugins and to this project's.
    fn link_plugins(&self, plugin: &Path) -> Result<(), LocalError> {
        let directory = self.home.plugins();
        let own = fs::read_dir(self.installation.plugins())
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path());
        for target in own.chain([plugin.to_owned()]) {
            let Some(link) = target.file_name().map(|name| directory.join(name)) else {
                continue;
            };
            match fs::read_link(&link) {
                Ok(before) if before == target => continue,
                // Another version of the server used the directory.
                Ok(_) => fs::remove_file(&link).map_err(at(&link))?,
                Err(_) => {}
            }
            symlink(&target, &link).map_err(at(&link))?;
        }
        Ok(())
    }

    /// Returns true if the server runs or starts, including one that an earlier stack left running.
    pub(crate) fn is_running(&self) -> bool {
        process::is_held(&self.home.log())
    }

    /// Starts the server, or reloads the certificate of a running one; then creates RDS's fixtures.
    pub(crate) fn start(&self) -> Result<(), LocalError> {
        let engine = self.installation.engine;
        if self.is_running() {
            self.wait_until_ready(None)?;
            self.sql(configuration::reload_tls(engine))?;
        } else {
            self.launch()?;
        }
        self.sql(&configuration::fixtures(engine, self.created_by)).map(drop)
    }

    fn launch(&self) -> Result<(), LocalError> {
        let (log, beginning) = self.home.open_log()?;
        process::lock(&log, &self.home.log())?;
        let program = self.installation.program(server_program(self.installation.engine));
        let mut server = self.home.command(&program);
        server.arg(format!(
            "--defaults-file={}",
            self.home.etc().join(configuration::SETTINGS).display()
        ));
        let mut child = process::spawn(server, log).map_err(at(&program))?;
        let started = self.wait_until_ready(Some(&mut child));
        // Waiting collects the child's exit status, so that it leaves no zombie.
        thread::spawn(move || child.wait());
        started.map_err(|error| {
            let output = format!("{error}: {}", self.home.logged_since(beginning));
            LocalError::Program { program: format!("starting {}", self.instance), output }
        })
    }

    /// Waits until the server has run its init file and accepts logins.
    fn wait_until_ready(&self, mut child: Option<&mut Child>) -> Result<(), LocalError> {
        let name = format!("{}, as {}", self.installation.engine.product(), self.instance);
        let deadline = Instant::now() + CONTROL_TIMEOUT;
        loop {
            let ended = child.as_deref_mut().map(Child::try_wait).transpose();
            if let Some(status) = ended
                .map_err(|error| LocalError::Program {
                    program: name.clone(),
                    output: error.to_string(),
                })?
                .flatten()
            {
                return Err(LocalError::Program {
                    program: name,
                    output: format!("exited with {status}"),
                });
            }
            // The socket listens before the init file has been run; logins wait for it.
            match self.sql("SELECT 1;") {
                Err(LocalError::Program { output, .. }) if output.contains(NOT_LISTENING) => {}
                answered => return answered.map(drop),
            }
            if Instant::now() > deadline {
                return Err(LocalError::TimedOut(format!(
                    "cannot reach {name}: it accepts no logins after {} s",
                    CONTROL_TIMEOUT.as_secs()
                )));
            }
            thread::sleep(CHECK_INTERVAL);
        }
    }

    /// Runs SQL as the administrator.
    pub(crate) fn sql(&self, script: &str) -> Result<String, LocalError> {
        let mut client = self.client();
        client.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        // Bounds the wait for a server that accepts the connection and never sends its handshake.
        client.arg(format!("--connect-timeout={}", CONTROL_TIMEOUT.as_secs()));
        // SQL literals are quoted for this mode, whatever the server's default is.
        let script = Zeroizing::new(format!("SET SESSION sql_mode = '';\n{script}\n"));
        run_with(&mut client, &script, &format!("SQL on {}", self.instance))
    }

    /// Returns a client command as the administrator over the Unix socket, as the current system
    /// user.
    ///
    /// It runs without the user's environment and option files; the client reads `~/.mylogin.cnf`
    /// unless another file is named.
    pub(crate) fn client(&self) -> Command {
        let name = match self.installation.engine {
            Engine::Mariadb => "mariadb",
            _ => "mysql",
        };
        let mut client = Command::new(self.installation.program(name));
        client.env_clear().env("PATH", PATH).env("MYSQL_TEST_LOGIN_FILE", "/dev/null");
        client
            .args(["--no-defaults", "--protocol=SOCKET"])
            .arg(format!("--socket={}", self.socket().display()));
        client.args(administrators().first().map(|user| format!("--user={user}")));
        client
    }

    /// Creates the RDS master user, and `database` if named.
    pub(crate) fn create_master(
        &self,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        let script = configuration::master(self.installation.engine, master, database);
        self.sql(&script).map(drop).map_err(|error| redact(error, master))
    }

    /// Changes the master user's password.
    pub(crate) fn set_password(&self, master: &MasterUser) -> Result<(), LocalError> {
        let (name, password) =
            (literal(&master.name), Zeroizing::new(literal(master.password.expose())));
        let script = Zeroizing::new(format!("ALTER USER {name}@'%' IDENTIFIED BY {};", *password));
        self.sql(&script).map(drop).map_err(|error| redact(error, master))
    }

    /// Creates an account that logs in with IAM, or converts an existing account.
    pub(crate) fn ensure_login(&self, user: &DbUser) -> Result<(), LocalError> {
        let name = literal(user.as_str());
        let is_superuser = format!(
            "SELECT COUNT(*) FROM mysql.user WHERE User = {name} AND Host = '%' AND Super_priv = \
             'Y' AND plugin <> '{PLUGIN}';"
        );
        if self.sql(&is_superuser)? != "0" {
            let user = user.as_str();
            return Err(LocalError::Unusable(format!(
                "cannot use the database user {user:?}: it is a superuser; name another one with \
                 --db-user"
            )));
        }
        self.sql(&configuration::login(&name)).map(drop)
    }
}

/// Removes the password from an error: a server may quote a statement that it rejects.
fn redact(error: LocalError, master: &MasterUser) -> LocalError {
    match error {
        LocalError::Program { program, output } => LocalError::Program {
            program,
            output: output.replace(master.password.expose(), "[redacted]"),
        },
        other => other,
    }
}

/// Stops the server of a directory, if one runs, and disconnects its clients.
///
/// Needs none of the server's programs. A process that is still initializing data is killed.
pub(crate) fn stop(home: &ServerDir) -> Result<(), LocalError> {
    process::end(
        &home.log(),
        if home.data().exists() { Signal::TERM } else { Signal::KILL },
        CONTROL_TIMEOUT,
    )
}
