//! Installation of Debian packages.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::terminal::{header, note};

/// Installs groups of packages: all at once or, if that fails, each group by itself. Installed
/// packages are not upgraded.
pub(crate) fn install(groups: &[&[&str]]) -> Result<(), Problem> {
    let packages = groups.concat();
    let Some(privilege) = Privilege::find() else {
        let by_hand = by_hand(&packages);
        return Err(Problem::new(format!(
            "cannot install packages: not root, and `sudo -n` fails; run {by_hand}"
        )));
    };
    if !command::works(Command::new("apt-get").arg("--version")) {
        return Err(Problem::new(format!(
            "cannot install packages: apt-get not found; install what Debian calls {}",
            packages.join(", ")
        )));
    }
    header("apt-get update");
    if let Err(problem) = command::run(privilege.command("apt-get").args(["-q", "update"])) {
        note(&format!("{problem}; using the present package lists"));
    }
    suppress_cluster_creation(&privilege, true)?;
    let mut installed = install_group(&privilege, &packages);
    if let (Err(problem), true) = (&installed, groups.len() > 1) {
        note(&format!("{problem}; installing group by group"));
        let results = groups.iter().map(|group| install_group(&privilege, group));
        installed = Problem::join(results, "\n    ");
    }
    suppress_cluster_creation(&privilege, false)?;
    installed
}

fn install_group(privilege: &Privilege, packages: &[&str]) -> Result<(), Problem> {
    header(&format!("apt-get install {}", packages.join(" ")));
    let mut apt = privilege.command("apt-get");
    apt.args(["-q", "install", "--yes", "--no-upgrade", "--no-install-recommends"]).args(packages);
    command::run(&mut apt)
        .map_err(|problem| Problem::new(format!("{problem}; run {}", by_hand(packages))))
}

fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-upgrade --no-install-recommends {}", packages.join(" "))
}

/// Keeps postgresql-common from creating and starting a cluster on port 5432 while packages are
/// installed.
fn suppress_cluster_creation(privilege: &Privilege, suppress: bool) -> Result<(), Problem> {
    let script = match suppress {
        true => r#"mkdir -p "${0%/*}" && echo 'create_main_cluster = false' >"$0""#,
        false => r#"rm -f "$0""#,
    };
    command::run(privilege.command("sh").args([
        "-c",
        script,
        "/etc/postgresql-common/createcluster.d/countersign.conf",
    ]))
}

/// Way in which this process runs a command as root.
enum Privilege {
    Root,
    Sudo,
}

impl Privilege {
    fn find() -> Option<Self> {
        if is_root() {
            Some(Self::Root)
        } else {
            command::works(Command::new("sudo").args(["-n", "true"])).then_some(Self::Sudo)
        }
    }

    fn command(&self, program: &str) -> Command {
        let mut command = match self {
            Self::Root => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        command.args(["DEBIAN_FRONTEND=noninteractive", program]);
        command
    }
}

/// Returns true if this process is root: root owns its entry in /proc.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().is_ok_and(|metadata| metadata.uid() == 0)
}
