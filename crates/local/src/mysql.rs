//! A MariaDB or MySQL server whose accounts of `AWSAuthenticationPlugin` log in with IAM alone.

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

/// The database that a new server has, and that IAM users may do everything in.
pub(crate) const DATABASE: &str = "app";

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(90);

/// What clients say while nobody listens on the socket.
const NOT_LISTENING: &str = "ERROR 2002 ";

/// How often it is looked at meanwhile.
const PERIOD: Duration = Duration::from_millis(20);

/// One server's directory and programs.
#[derive(Debug)]
pub(crate) struct Mysql {
    installation: Installation,
    instance: InstanceId,
    home: ServerDir,
    maker: CreatedBy,
}

impl Mysql {
    pub(crate) const fn new(
        installation: Installation,
        instance: InstanceId,
        home: ServerDir,
        maker: CreatedBy,
    ) -> Self {
        Self { installation, instance, home, maker }
    }

    fn socket(&self) -> PathBuf {
        self.home.run().join("mysqld.sock")
    }

    /// Makes the data directory where there is none. Who fills it holds the log as the server does; one that a killed stack left
    /// behind is stopped first, for its work is made anew.
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
            let made = process::spawn(command, log)
                .and_then(|mut child| child.wait())
                .map_err(at(&self.installation.program(program)))?;
            if made.success() {
                return Ok(());
            }
            Err(LocalError::Program {
                program: program.to_owned(),
                output: format!("{made}: {}", self.home.logged_since(beginning)),
            })
        })
    }

    /// Writes the server's whole configuration: certificate, settings, the plugin, and what it runs at its start.
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
                configuration::START,
                configuration::start(self.installation.engine, &administrators()),
            ),
        ];
        files.iter().try_for_each(|(name, text)| {
            write_atomically(&self.home.etc().join(name), text.as_bytes(), 0o644, None)
        })
    }

    /// A directory of plugins: the server's own, and ours among them.
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
                // Another version of the server has been here.
                Ok(_) => fs::remove_file(&link).map_err(at(&link))?,
                Err(_) => {}
            }
            symlink(&target, &link).map_err(at(&link))?;
        }
        Ok(())
    }

    /// Whether the server runs, or is on its way: also one that an earlier stack left behind.
    pub(crate) fn is_running(&self) -> bool {
        process::is_held(&self.home.log())
    }

    /// Starts the server, or has one that runs read its certificate anew; then what RDS has is there.
    pub(crate) fn start(&self) -> Result<(), LocalError> {
        let engine = self.installation.engine;
        if self.is_running() {
            self.wait_until_ready(None)?;
            self.sql(configuration::reload_tls(engine))?;
        } else {
            self.launch()?;
        }
        self.sql(&configuration::fixtures(engine, self.maker)).map(drop)
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
        // Whoever waits for the child collects it, so that no zombie stays when it ends; nobody hears of it here.
        thread::spawn(move || child.wait());
        started.map_err(|error| {
            let output = format!("{error}: {}", self.home.logged_since(beginning));
            LocalError::Program { program: format!("starting {}", self.instance), output }
        })
    }

    /// Waits until the server has come through its start file and takes logins.
    fn wait_until_ready(&self, mut child: Option<&mut Child>) -> Result<(), LocalError> {
        let name = format!("{}, as {}", self.installation.engine.product(), self.instance);
        let deadline = Instant::now() + PATIENCE;
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
                    output: format!("it ended with {status}"),
                });
            }
            // The socket listens before the start file has been run; logins wait for it.
            match self.sql("SELECT 1;") {
                Err(LocalError::Program { output, .. }) if output.contains(NOT_LISTENING) => {}
                answered => return answered.map(drop),
            }
            if Instant::now() > deadline {
                return Err(LocalError::TimedOut(format!(
                    "{name} does not take logins after {} s",
                    PATIENCE.as_secs()
                )));
            }
            thread::sleep(PERIOD);
        }
    }

    /// Runs SQL as the administrator.
    pub(crate) fn sql(&self, script: &str) -> Result<String, LocalError> {
        let mut client = self.client();
        client.args(["--batch", "--skip-column-names", "--default-character-set=utf8mb4"]);
        // A server that takes connections and never greets must not hold its administrator up for good.
        client.arg(format!("--connect-timeout={}", PATIENCE.as_secs()));
        // The literals below are written for this mode, whatever the server's is.
        let script = Zeroizing::new(format!("SET SESSION sql_mode = '';\n{script}\n"));
        run_with(&mut client, &script, &format!("SQL on {}", self.instance))
    }

    /// The client as the administrator, over the Unix socket, as whoever runs this program, but not with its environment, and
    /// not with its option files: `~/.mylogin.cnf` is read all the same, unless another one is named.
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

    /// Makes the master user of RDS, and a database where one is named.
    pub(crate) fn make_master(
        &self,
        master: &MasterUser,
        database: Option<&str>,
    ) -> Result<(), LocalError> {
        let script = configuration::master(self.installation.engine, master, database);
        self.sql(&script).map(drop).map_err(|error| hiding(error, master))
    }

    /// Gives the master user another password.
    pub(crate) fn set_password(&self, master: &MasterUser) -> Result<(), LocalError> {
        let (name, password) =
            (literal(&master.name), Zeroizing::new(literal(master.password.expose())));
        let script = Zeroizing::new(format!("ALTER USER {name}@'%' IDENTIFIED BY {};", *password));
        self.sql(&script).map(drop).map_err(|error| hiding(error, master))
    }

    /// Makes an account that logs in with IAM, or makes one of an account that is there.
    pub(crate) fn ensure_login(&self, user: &DbUser) -> Result<(), LocalError> {
        let name = literal(user.as_str());
        let powerful = format!(
            "SELECT COUNT(*) FROM mysql.user WHERE User = {name} AND Host = '%' AND Super_priv = 'Y' AND plugin <> '{PLUGIN}';"
        );
        if self.sql(&powerful)? != "0" {
            let user = user.as_str();
            return Err(LocalError::Unusable(format!(
                "the database user {user:?} is a superuser: name another one with --db-user"
            )));
        }
        self.sql(&configuration::login(&name)).map(drop)
    }
}

/// An error without the password: a server may quote what it does not take.
fn hiding(error: LocalError, master: &MasterUser) -> LocalError {
    match error {
        LocalError::Program { program, output } => LocalError::Program {
            program,
            output: output.replace(master.password.expose(), "[redacted]"),
        },
        other => other,
    }
}

/// Stops the server of a directory, if there is one, also where its programs have gone; its clients are cut off. What is still
/// making its data is ended outright.
pub(crate) fn stop(home: &ServerDir) -> Result<(), LocalError> {
    process::end(
        &home.log(),
        if home.data().exists() { Signal::TERM } else { Signal::KILL },
        PATIENCE,
    )
}
