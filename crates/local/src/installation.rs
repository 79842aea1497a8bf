//! Servers that are installed here, and the unpacking of newer ones beside the system.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LocalError;
use crate::error::at;

/// Where Debian and its relatives put each version of PostgreSQL.
const DEBIAN: &str = "usr/lib/postgresql";

/// A major version of PostgreSQL.
pub type Version = u32;

/// The programs of one version of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// The major version.
    pub version: Version,
    /// The directory of `initdb`, `pg_ctl`, `postgres` and `psql`.
    pub bin: PathBuf,
}

impl Installation {
    /// The installed version asked for, or the newest: of the system, or unpacked below `unpacked` by [`install`].
    ///
    /// # Errors
    /// [`LocalError::Unusable`], with how to install it.
    pub fn find(wanted: Option<Version>, unpacked: &Path) -> Result<Self, LocalError> {
        let mut found = installed(&Path::new("/").join(DEBIAN));
        for entry in fs::read_dir(unpacked).into_iter().flatten().flatten().filter(|entry| !entry.path().ends_with(PARTIAL)) {
            found.extend(installed(&entry.path().join(DEBIAN)));
        }
        found.sort_by_key(|installation| installation.version);
        let chosen = match wanted {
            Some(version) => found.iter().rfind(|installation| installation.version == version),
            None => found.last(),
        };
        chosen.cloned().ok_or_else(|| {
            let here: Vec<String> = found.iter().map(|installation| installation.version.to_string()).collect();
            let here = if here.is_empty() { "none is".to_owned() } else { format!("here: {}", here.join(", ")) };
            LocalError::Unusable(match wanted {
                Some(version) => {
                    format!("PostgreSQL {version} is not installed ({here}): `countersign local install --engine postgres:{version}`")
                }
                None => "PostgreSQL is not installed: `apt-get install postgresql`, or `countersign local install --engine postgres:18`"
                    .to_owned(),
            })
        })
    }

    /// A program of this version.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

fn installed(versions: &Path) -> Vec<Installation> {
    let Ok(entries) = fs::read_dir(versions) else { return Vec::new() };
    let found = entries.flatten().filter_map(|entry| {
        let version = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        // Client packages leave such a directory without a server.
        bin.join("postgres").exists().then_some(Installation { version, bin })
    });
    found.collect()
}

/// Where a version is being unpacked.
const PARTIAL: &str = "partial";

/// Unpacks a version that the system's release lacks, from Debian's newest suite, beside the system and beside other
/// versions: nothing that is there is changed. Needs `mmdebstrap` and an apt that knows a Debian mirror.
///
/// # Errors
/// [`LocalError::Program`], with what the program said.
pub fn install(version: Version, unpacked: &Path) -> Result<Installation, LocalError> {
    if let Ok(found) = Installation::find(Some(version), unpacked) {
        return Ok(found);
    }
    let (root, partial) = (unpacked.join(format!("postgresql-{version}")), unpacked.join(PARTIAL));
    fs::create_dir_all(unpacked).map_err(at(unpacked))?;
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    let packages = format!("--include=postgresql-{version},postgresql-client-{version}");
    let mirror = format!("deb {} sid main", debian_mirror()?);
    let partial_text = partial.display().to_string();
    // The newest suite's signature can be older than apt likes when the mirror lags behind.
    let options = ["--variant=extract", "--aptopt=Acquire::Check-Valid-Until \"false\"", &packages, "sid", &partial_text, &mirror];
    run(Command::new("mmdebstrap").args(options), &format!("mmdebstrap (to unpack PostgreSQL {version})"))?;
    let bin = partial.join(DEBIAN).join(version.to_string()).join("bin");
    for program in ["initdb", "pg_ctl", "postgres", "psql", "pg_controldata"] {
        wrap(&bin.join(program), &partial, &root)?;
    }
    fs::rename(&partial, &root).map_err(at(&root))?;
    Installation::find(Some(version), unpacked)
}

/// Puts a script in the place of a program, which runs it with the C library that it was built for: the system's is older.
/// `--argv0` lets PostgreSQL find its own files from where the script lies.
fn wrap(program: &Path, unpacked: &Path, root: &Path) -> Result<(), LocalError> {
    let real = program.with_extension("real");
    fs::rename(program, &real).map_err(at(program))?;
    let moved = |path: &Path| path.strip_prefix(unpacked).map_or_else(|_| path.to_owned(), |below| root.join(below));
    let (loader, libraries) = loader(unpacked)?;
    let script = format!(
        "#!/bin/sh\nexec '{}' --library-path '{}' --argv0 '{}' '{}' \"$@\"\n",
        moved(&loader).display(),
        moved(&libraries).display(),
        moved(program).display(),
        moved(&real).display()
    );
    fs::write(program, script).map_err(at(program))?;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).map_err(at(program))
}

/// The dynamic loader below `root`, and the directory of its libraries.
fn loader(root: &Path) -> Result<(PathBuf, PathBuf), LocalError> {
    let libraries = root.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let found = fs::read_dir(&libraries).map_err(at(&libraries))?.flatten().map(|entry| entry.path());
    let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("ld-linux-"));
    let loader = found.filter(named).min();
    loader
        .map(|loader| (loader, libraries))
        .ok_or_else(|| LocalError::Unusable(format!("there is no dynamic loader in {}", root.display())))
}

/// The Debian mirror that this machine's apt uses.
fn debian_mirror() -> Result<String, LocalError> {
    let targets = run(Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]), "apt-get indextargets")?;
    let mut mirrors = targets.lines().filter_map(|line| line.strip_prefix("Debian ")).filter(|uri| !uri.contains("security"));
    mirrors
        .next()
        .map(str::to_owned)
        .ok_or_else(|| LocalError::Unusable("apt knows no mirror of Debian here: run `apt-get update`, or use another system".to_owned()))
}

/// Runs a program to its end.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<String, LocalError> {
    let failed = |output: String| LocalError::Program { program: what.to_owned(), output };
    let output = command.stdin(std::process::Stdio::null()).output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()).join("\n");
    Err(failed(format!("{}: {}", output.status, said.trim())))
}

#[cfg(test)]
mod tests;
