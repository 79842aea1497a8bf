//! The stack under test, and the environments of its clients.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign_e2e::run;
use tempfile::TempDir;

/// Prefixes of the variables that `local env` sets.
const OURS: [&str; 4] = ["AWS_", "PG", "MYSQL_", "COUNTERSIGN_"];

/// Directory of unpacked servers: the only setting that is passed on.
const SERVERS: &str = "COUNTERSIGN_SERVERS_DIR";

/// Not us-east-1, where version 1 of the aws CLI sends RDS requests to AWS whatever
/// `AWS_ENDPOINT_URL` says.
/// Source: awscli/customizations/overridesslcommonname.py, which looks at `--endpoint-url` alone.
const REGION: &str = "eu-central-1";

/// Initial state of a stack: a user who may perform every action, and an instance profile.
const ADMINISTRATOR: &str = "admin";
const INSTANCE_PROFILE: &str = "app";

/// User whose access key is deactivated.
const REVOKED: &str = "interop-revoked";

/// Directory of the servers that clients create, deleted with the stack.
const MASTER_PASSWORD: &str = "eleven-and-a-half-vegetables";

/// Source of credentials other than the environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Irsa,
    PodIdentity,
    Ecs,
    Imds,
    Sso,
}

impl Source {
    const ALL: [Self; 5] = [Self::Irsa, Self::PodIdentity, Self::Ecs, Self::Imds, Self::Sso];

    /// Name for `local env --source`.
    const fn name(self) -> &'static str {
        match self {
            Self::Irsa => "irsa",
            Self::PodIdentity => "pod-identity",
            Self::Ecs => "ecs",
            Self::Imds => "imds",
            Self::Sso => "sso",
        }
    }
}

type Environment = HashMap<String, String>;

/// A running stack, stopped and wiped on drop.
pub(crate) struct Stack {
    directory: TempDir,
    keys: Environment,
    revoked: Environment,
    sources: HashMap<Source, Result<Environment, String>>,
}

impl Stack {
    pub(crate) fn up() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("countersign-")
            .tempdir()
            .expect("a directory for the stack");
        let mut stack = Self {
            directory,
            keys: HashMap::new(),
            revoked: HashMap::new(),
            sources: HashMap::new(),
        };
        // The machine whose metadata service is used has the role of this profile.
        let _printed = stack.must(&[
            "up",
            "--instance-profile",
            INSTANCE_PROFILE,
            "--detach",
            "--max-logins-per-second",
            "0",
            "--engine",
            "postgres",
            "--region",
            REGION,
        ]);
        std::fs::create_dir_all(stack.home()).expect("a home for the clients");
        let _printed = stack.must(&["user", "create", REVOKED]);
        stack.keys = stack.exported(&["--user", ADMINISTRATOR]).expect("the stack exports keys");
        stack.revoked =
            stack.exported(&["--user", REVOKED]).expect("the stack exports the other keys");
        let _printed = stack.must(&["user", "disable-key", REVOKED]);
        stack.sources =
            Source::ALL.into_iter().map(|source| (source, stack.from(source))).collect();
        stack
    }

    fn local(&self, arguments: &[&str]) -> Command {
        let beside =
            std::env::current_exe().expect("this program has a path").with_file_name("countersign");
        assert!(beside.exists(), "countersign is not built: run `cargo xtask test interop`");
        let mut command = Command::new(beside);
        command.arg("local").arg("--dir").arg(self.directory.path()).args(arguments);
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| {
                name != SERVERS && OURS.iter().any(|ours| name.starts_with(ours))
            }) {
                command.env_remove(name);
            }
        }
        command
    }

    fn must(&self, arguments: &[&str]) -> String {
        let output = run(&mut self.local(arguments));
        assert!(output.ok, "countersign local {}:\n{}", arguments.join(" "), output.err);
        output.out
    }

    /// Returns the variables that `local env` exports, as a shell reads them.
    fn exported(&self, more: &[&str]) -> Result<Environment, String> {
        let printed = run(&mut self.local(&[&["env"], more].concat()));
        if !printed.ok {
            return Err(format!("countersign local env {}: {}", more.join(" "), printed.err));
        }
        let script = format!("{}\nenv -0", printed.out);
        let output =
            run(Command::new("sh").arg("-c").arg(script).env_clear().env("PATH", "/usr/bin:/bin"));
        let variables = output.out.split('\0').filter_map(|pair| pair.split_once('='));
        let exported = variables
            .filter(|(name, _)| *name == "HOME" || OURS.iter().any(|ours| name.starts_with(ours)));
        let mut environment: Environment =
            exported.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let ca = environment.get("PGSSLROOTCERT").cloned().ok_or("it names no certificate")?;
        environment.extend([
            ("COUNTERSIGN_CA".to_owned(), ca),
            ("MASTER_PASSWORD".to_owned(), MASTER_PASSWORD.to_owned()),
        ]);
        Ok(environment)
    }

    /// Returns credentials of the source, without keys that would take precedence.
    fn from(&self, source: Source) -> Result<Environment, String> {
        let mut environment = self.exported(&["--source", source.name()])?;
        if environment.contains_key("AWS_ACCESS_KEY_ID") {
            return Err("it exports a key".to_owned());
        }
        if source == Source::Imds {
            environment.insert("AWS_EC2_METADATA_DISABLED".to_owned(), "false".to_owned());
        }
        Ok(environment)
    }

    /// Empty HOME, without files of the user who runs the tests.
    pub(crate) fn home(&self) -> PathBuf {
        Path::new(self.directory.path()).join("clients-home")
    }

    /// Returns access keys of the administrator.
    pub(crate) const fn keys(&self) -> &Environment {
        &self.keys
    }

    /// Returns access keys of a user whose key is deactivated.
    pub(crate) const fn revoked(&self) -> &Environment {
        &self.revoked
    }

    /// Returns credentials of a role from that source, or the reason why there are none.
    pub(crate) fn environment(&self, source: Source) -> Result<&Environment, &str> {
        self.sources.get(&source).map_or(Err("it is unknown"), |environment| {
            environment.as_ref().map_err(String::as_str)
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let output = run(&mut self.local(&["down", "--wipe"]));
        if !output.ok {
            eprintln!("local down --wipe: {}", output.err);
        }
    }
}
