//! A MariaDB or MySQL server of the test's own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use countersign_core::name::Engine;
use countersign_e2e::{CommandOutput, Stack, countersign, mysql_client, run, wait_until};
use tempfile::TempDir;

/// System user of the servers if root runs the tests; it differs from the user of the stack's
/// servers.
pub(crate) const USER: &str = "nobody";

/// Server with its own option file, which includes a directory. It is killed on drop.
pub(crate) struct OwnServer {
    pub(crate) engine: Engine,
    /// Directory of its programs.
    root: PathBuf,
    directory: TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl OwnServer {
    /// Initializes a server with the certificate of the stack, and starts it.
    pub(crate) fn start(engine: Engine, stack: &Stack) -> Self {
        let root = match engine {
            Engine::Mysql => mysql_client()
                .expect("the client is here")
                .ancestors()
                .nth(3)
                .expect("DIR/usr/bin/mysql")
                .to_owned(),
            _ => PathBuf::from("/"),
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let directory = tempfile::Builder::new().prefix("countersign-").tempdir().unwrap();
        let mut server = Self { engine, root, directory, port, process: None };
        for name in ["conf.d", "plugins", "data", "tmp"] {
            std::fs::create_dir(server.path(name)).unwrap();
        }
        for entry in
            stack.directory().join("instances/mariadb/tls").read_dir().unwrap().map(Result::unwrap)
        {
            std::fs::copy(entry.path(), server.path(entry.file_name().to_str().unwrap())).unwrap();
        }
        std::fs::write(server.path("my.cnf"), server.options(&stack.env(&[])["MYSQL_SSL_CA"]))
            .unwrap();
        if rustix::process::geteuid().is_root() {
            let owned = run(Command::new("chown").arg("-R").arg(USER).arg(server.directory.path()));
            assert!(owned.ok, "{owned:?}");
        }
        let made = run(&mut server.initialization());
        assert!(made.ok, "{made:?}");
        server.launch();
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn options(&self, ca: &str) -> String {
        let directory = self.directory.path().display();
        let mysql = match self.engine {
            Engine::Mysql => {
                format!(
                    "mysqlx = OFF\nsecure-file-priv = NULL\nlc-messages-dir = {}\n",
                    self.root.join("usr/share/mysql").display()
                )
            }
            _ => String::new(),
        };
        format!(
            "[mysqld]\nbasedir = {}\ndatadir = {directory}/data\ntmpdir = {directory}/tmp\n\
             plugin-dir = {directory}/plugins\nsocket = {directory}/mysqld.sock\n\
             pid-file = {directory}/mysqld.pid\nport = {}\nbind-address = 127.0.0.1\n\
             skip-name-resolve\nlog-error = {directory}/error.log\n\
             innodb-use-native-aio = OFF\nssl-ca = {ca}\nssl-cert = {directory}/server.pem\n\
             ssl-key = {directory}/server.key\n{mysql}!includedir {directory}/conf.d\n",
            self.root.join("usr").display(),
            self.port,
        )
    }

    fn program(&self, name: &str) -> Command {
        let places = ["usr/sbin", "usr/bin"].map(|place| self.root.join(place).join(name));
        let program = places
            .iter()
            .find(|program| program.exists())
            .unwrap_or_else(|| panic!("cannot find {name}"));
        let mut command = Command::new(program);
        command.arg(format!("--defaults-file={}", self.path("my.cnf").display())).current_dir("/");
        command
    }

    /// Returns the option for the server's user if root runs the tests: servers do not run as root.
    fn user(&self) -> Option<String> {
        rustix::process::geteuid().is_root().then(|| format!("--user={USER}"))
    }

    fn initialization(&self) -> Command {
        let mut command = match self.engine {
            Engine::Mysql => self.program("mysqld"),
            _ => self.program("mariadb-install-db"),
        };
        let mysql = if self.engine == Engine::Mysql {
            "--initialize-insecure"
        } else {
            "--auth-root-authentication-method=normal"
        };
        command.arg(mysql).args(self.user());
        command
    }

    /// Starts the server, and waits until the administrator can log in.
    fn launch(&mut self) {
        let name = if self.engine == Engine::Mysql { "mysqld" } else { "mariadbd" };
        let mut command = self.program(name);
        command.args(self.user()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        wait_until("the server's start", || {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().unwrap());
            assert!(ended.is_none(), "the server ended: {}", self.log());
            self.sql("SELECT 1").ok
        });
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let pid = rustix::process::Pid::from_child(&process);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("error.log")).unwrap_or_default()
    }

    fn client(&self) -> Command {
        match self.engine {
            Engine::Mysql => Command::new(mysql_client().expect("the client is here")),
            _ => Command::new("mariadb"),
        }
    }

    /// Runs SQL as the administrator.
    pub(crate) fn sql(&self, sql: &str) -> CommandOutput {
        let socket = format!("--socket={}", self.path("mysqld.sock").display());
        run(self.client().args([
            "--no-defaults",
            &socket,
            "--user=root",
            "--batch",
            "--skip-column-names",
            "--execute",
            sql,
        ]))
    }

    /// Returns the plugin's status in `information_schema.PLUGINS`.
    pub(crate) fn state(&self) -> String {
        self.sql(
            "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = \
         'AWSAuthenticationPlugin'",
        )
        .out
    }

    /// Returns the user besides root that the plugin trusts as the verifier.
    pub(crate) fn verifier_user(&self) -> String {
        let output = self.sql("SELECT COALESCE(@@awsauthenticationplugin_verifier_user, '')");
        assert!(output.ok, "{output:?}");
        output.out
    }

    /// Logs in over TLS, verified against the stack's CA.
    pub(crate) fn login(&self, stack: &Stack, token: &str) -> CommandOutput {
        let (ca, port) = (
            format!("--ssl-ca={}", stack.env(&[])["MYSQL_SSL_CA"]),
            format!("--port={}", self.port),
        );
        let verified: &[&str] = match self.engine {
            Engine::Mysql => &["--ssl-mode=VERIFY_IDENTITY", "--enable-cleartext-plugin"],
            _ => &["--ssl-verify-server-cert"],
        };
        let mut client = self.client();
        client
            .args([
                "--no-defaults",
                "--protocol=TCP",
                "--host=127.0.0.1",
                &port,
                "--user=jane",
                &ca,
            ])
            .args(verified);
        run(client
            .args(["--batch", "--skip-column-names", "--execute=SELECT CURRENT_USER()"])
            .env("MYSQL_PWD", token))
    }

    /// Runs `countersign setup plugin` on this server.
    pub(crate) fn setup(&self, arguments: &[&str]) -> CommandOutput {
        // The engine's own client takes precedence on the PATH.
        let path =
            format!("{}:{}", self.root.join("usr/bin").display(), std::env::var("PATH").unwrap());
        let mut command = countersign();
        command
            .args([
                "setup",
                "plugin",
                "--engine",
                self.engine.as_str(),
                "--user",
                "root",
                "--socket",
            ])
            .arg(self.path("mysqld.sock"));
        command.arg("--config-file").arg(self.config_file()).args(arguments).env("PATH", path);
        run(&mut command)
    }

    pub(crate) fn config_file(&self) -> PathBuf {
        self.path("conf.d/countersign.cnf")
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.path("plugins/mysql_countersign.so")
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _gone = process.kill().and_then(|()| process.wait());
        }
    }
}
