//! Debian's packages.

use std::path::Path;
use std::process::Command;

use crate::command;
use crate::problem::Problem;
use crate::terminal::{header, note};

/// Installs groups of packages: all at once or, where that fails, each group for itself. What is there already stays as it is.
pub(crate) fn install(groups: &[&[&str]]) -> Result<(), Problem> {
    let packages = groups.concat();
    let Some(privilege) = Privilege::find() else {
        let by_hand = by_hand(&packages);
        return Err(Problem::new(format!(
            "installing needs root, which this is not, and `sudo -n` does not work here; by hand: {by_hand}"
        )));
    };
    if !command::works(Command::new("apt-get").arg("--version")) {
        return Err(Problem::new(format!(
            "this machine has no apt-get: install what Debian calls {}",
            packages.join(", ")
        )));
    }
    header("apt-get update");
    if let Err(problem) = command::run(privilege.command("apt-get").args(["-q", "update"])) {
        note(&format!("{problem}: going on with the package lists that are here."));
    }
    set_cluster_aside(&privilege, true)?;
    let mut installed = install_group(&privilege, &packages);
    if let (Err(problem), true) = (&installed, groups.len() > 1) {
        note(&format!("{problem}: trying one after the other."));
        let alone: Vec<Problem> =
            groups.iter().filter_map(|group| install_group(&privilege, group).err()).collect();
        let said: Vec<String> = alone.iter().map(Problem::to_string).collect();
        installed = if said.is_empty() { Ok(()) } else { Err(Problem::new(said.join("\n    "))) };
    }
    set_cluster_aside(&privilege, false)?;
    installed
}

fn install_group(privilege: &Privilege, packages: &[&str]) -> Result<(), Problem> {
    header(&format!("apt-get install {}", packages.join(" ")));
    let mut apt = privilege.command("apt-get");
    apt.args(["-q", "install", "--yes", "--no-upgrade", "--no-install-recommends"]).args(packages);
    command::run(&mut apt)
        .map_err(|problem| Problem::new(format!("{problem}; by hand: {}", by_hand(packages))))
}

fn by_hand(packages: &[&str]) -> String {
    format!("sudo apt-get install --no-upgrade --no-install-recommends {}", packages.join(" "))
}

/// While packages are installed, postgresql-common is not to make and start a cluster: nobody asked for one on port 5432.
fn set_cluster_aside(privilege: &Privilege, aside: bool) -> Result<(), Problem> {
    let script = match aside {
        true => r#"mkdir -p "${0%/*}" && echo 'create_main_cluster = false' >"$0""#,
        false => r#"rm -f "$0""#,
    };
    command::run(privilege.command("sh").args([
        "-c",
        script,
        "/etc/postgresql-common/createcluster.d/countersign.conf",
    ]))
}

/// How this process may become root.
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

/// Whether this process is root: then its own entry in /proc is root's.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    Path::new("/proc/self").metadata().is_ok_and(|metadata| metadata.uid() == 0)
}
