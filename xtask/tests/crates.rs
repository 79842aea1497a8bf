//! Compares the dependencies between the crates with the drawing in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

type Outcome = Result<(), Box<dyn Error>>;

/// Crates of the workspace, each with those that it may use, directly or not. Tests may use more.
const DRAWING: [(&str, &[&str]); 19] = [
    ("countersign-core", &[]),
    ("countersign-config-file", &["countersign-core"]),
    ("countersign-unix-socket", &[]),
    ("countersign-http-server", &[]),
    ("countersign-wire", &["countersign-core"]),
    ("countersign-connect", &["countersign-core", "countersign-wire"]),
    (
        "countersign-proxy",
        &[
            "countersign-core",
            "countersign-http-server",
            "countersign-unix-socket",
            "countersign-wire",
            "countersign-connect",
        ],
    ),
    (
        "countersign-authority",
        &["countersign-core", "countersign-config-file", "countersign-unix-socket"],
    ),
    (
        "countersign-aws-api",
        &[
            "countersign-core",
            "countersign-config-file",
            "countersign-unix-socket",
            "countersign-authority",
            "countersign-http-server",
        ],
    ),
    ("countersign-verifier-client", &["countersign-core"]),
    ("countersign-pam", &["countersign-core", "countersign-verifier-client"]),
    ("countersign-mysql-plugin", &["countersign-core", "countersign-verifier-client"]),
    (
        "countersign-local",
        &[
            "countersign-core",
            "countersign-config-file",
            "countersign-unix-socket",
            "countersign-wire",
            "countersign-connect",
            "countersign-authority",
            "countersign-http-server",
            "countersign-aws-api",
        ],
    ),
    ("countersign-setup", &["countersign-core"]),
    ("countersign-cli", ALL),
    ("countersign-e2e", ALL),
    ("countersign-bench", ALL),
    (
        "countersign-fuzz",
        &[
            "countersign-core",
            "countersign-config-file",
            "countersign-unix-socket",
            "countersign-authority",
            "countersign-wire",
        ],
    ),
    ("xtask", &[]),
];

/// Libraries that the binary, the end-to-end tests and the benchmarks may use: all but the cdylibs.
const ALL: &[&str] = &[
    "countersign-core",
    "countersign-config-file",
    "countersign-unix-socket",
    "countersign-wire",
    "countersign-connect",
    "countersign-http-server",
    "countersign-proxy",
    "countersign-authority",
    "countersign-aws-api",
    "countersign-verifier-client",
    "countersign-local",
    "countersign-setup",
];

/// Modules that database servers load: the only crates that may contain unsafe code.
const MODULES: [&str; 2] = ["countersign-pam", "countersign-mysql-plugin"];

/// Crates that wait, poll or open sockets: not for the modules, the core and the protocols.
const ASYNCHRONOUS: [&str; 12] = [
    "async-io",
    "async-std",
    "async-trait",
    "futures",
    "futures-core",
    "hyper",
    "mio",
    "polling",
    "reqwest",
    "smol",
    "socket2",
    "tokio",
];

/// Names that do not describe the purpose of a crate.
const VAGUE_NAMES: [&str; 5] = ["common", "utils", "types", "errors", "macros"];

/// Sources of input that `core` takes as arguments: clock, environment, files, processes.
const INPUTS: [&str; 8] = [
    "SystemTime::now",
    "Instant::now",
    "now_utc",
    "std::env",
    "std::fs",
    "std::os",
    "std::process",
    "std::thread",
];

/// Packages of a build for this machine, by id.
struct Graph {
    packages: BTreeMap<String, Package>,
    members: Vec<String>,
}

struct Package {
    name: String,
    manifest: PathBuf,
    /// Normal and build dependencies, without those of tests.
    uses: Vec<String>,
}

impl Graph {
    fn read() -> Result<Self, Box<dyn Error>> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let version = String::from_utf8(Command::new(&cargo).arg("-vV").output()?.stdout)?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .ok_or("cannot read the host triple from `cargo -vV`")?;
        let output = Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", host])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into());
        }
        Self::from_metadata(&serde_json::from_slice(&output.stdout)?)
            .ok_or_else(|| "cannot read the output of `cargo metadata`".into())
    }

    fn from_metadata(metadata: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let list = |value: &Value, name| value.get(name)?.as_array().cloned();
        let mut uses = BTreeMap::new();
        for node in list(metadata.get("resolve")?, "nodes")? {
            let is_built = |dependency: &Value| {
                list(dependency, "dep_kinds").is_some_and(|kinds| {
                    kinds.iter().any(|kind| kind.get("kind") != Some(&"dev".into()))
                })
            };
            let built = list(&node, "deps")?.into_iter().filter(is_built);
            uses.insert(
                text(node.get("id")?)?,
                built.map(|dependency| text(dependency.get("pkg")?)).collect::<Option<_>>()?,
            );
        }
        let mut packages = BTreeMap::new();
        for package in list(metadata, "packages")? {
            let id = text(package.get("id")?)?;
            let uses = uses.remove(&id).unwrap_or_default();
            let (name, manifest) =
                (text(package.get("name")?)?, text(package.get("manifest_path")?)?.into());
            packages.insert(id, Package { name, manifest, uses });
        }
        let members =
            list(metadata, "workspace_members")?.iter().map(text).collect::<Option<_>>()?;
        Some(Self { packages, members })
    }

    fn members(&self) -> impl Iterator<Item = &Package> {
        self.members.iter().filter_map(|id| self.packages.get(id))
    }

    fn member(&self, name: &str) -> Result<&Package, String> {
        self.members()
            .find(|package| package.name == name)
            .ok_or_else(|| format!("crate {name} not found"))
    }

    /// Returns the names of all direct and indirect dependencies of a package.
    fn closure(&self, package: &Package) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut open: Vec<&str> = package.uses.iter().map(String::as_str).collect();
        while let Some(package) = open.pop().and_then(|id| self.packages.get(id)) {
            if found.insert(package.name.as_str()) {
                open.extend(package.uses.iter().map(String::as_str));
            }
        }
        found
    }
}

#[test]
fn every_crate_is_drawn_and_uses_only_what_the_drawing_allows() -> Outcome {
    let graph = Graph::read()?;
    let members: BTreeSet<&str> = graph.members().map(|package| package.name.as_str()).collect();
    let drawn: BTreeSet<&str> = DRAWING.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        members, drawn,
        "DRAWING, ARCHITECTURE.md and the workspace must list the same crates"
    );

    for (name, allowed) in DRAWING {
        let used = graph.closure(graph.member(name)?);
        let violations: Vec<_> =
            used.iter().filter(|used| members.contains(*used) && !allowed.contains(used)).collect();
        assert!(violations.is_empty(), "{name} must not use {violations:?}");
    }
    Ok(())
}

#[test]
fn core_protocols_and_modules_are_synchronous() -> Outcome {
    let graph = Graph::read()?;
    for name in MODULES.into_iter().chain(["countersign-core", "countersign-wire"]) {
        let used = graph.closure(graph.member(name)?);
        let violations: Vec<_> =
            ASYNCHRONOUS.iter().filter(|crate_name| used.contains(*crate_name)).collect();
        assert!(violations.is_empty(), "{name} must not depend on {violations:?}");
    }
    Ok(())
}

#[test]
fn core_takes_its_inputs_as_arguments() -> Outcome {
    let graph = Graph::read()?;
    let sources = graph.member("countersign-core")?.manifest.with_file_name("src");
    let mut violations = Vec::new();
    for file in rust_files(&sources)? {
        if file.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&file)?;
        let code =
            text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
        let touching = code.filter(|(_, line)| INPUTS.iter().any(|input| line.contains(input)));
        violations.extend(
            touching.map(|(number, line)| {
                format!("{}:{}: {}", file.display(), number + 1, line.trim())
            }),
        );
    }
    assert!(
        violations.is_empty(),
        "core takes the time and other inputs as arguments:\n{}",
        violations.join("\n")
    );
    Ok(())
}

#[test]
fn only_modules_may_be_unsafe() -> Outcome {
    let graph = Graph::read()?;
    for package in graph.members().filter(|package| !MODULES.contains(&package.name.as_str())) {
        let manifest = std::fs::read_to_string(&package.manifest)?;
        let forbidden = manifest.contains("[lints]\nworkspace = true\n")
            || manifest.contains("[lints.rust]\nunsafe_code = \"forbid\"\n");
        assert!(
            forbidden,
            "{} must inherit the workspace's lints, which forbid `unsafe`",
            package.manifest.display()
        );
    }
    Ok(())
}

#[test]
fn crates_are_named_after_their_subject() -> Outcome {
    let graph = Graph::read()?;
    for package in graph.members() {
        let name = package.name.trim_start_matches("countersign-");
        assert!(!VAGUE_NAMES.contains(&name), "name the crate {name:?} after its subject");
    }
    Ok(())
}

fn rust_files(directory: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(rust_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}
