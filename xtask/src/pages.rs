//! `test docs`: runs the commands of README.md and docs/, each page as one shell session.

mod script;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::command;
use crate::problem::Problem;
use crate::setup::{self, Need};
use crate::terminal::{bold, green, header, note, red};
use crate::workspace::{Workspace, prepend};
use script::{PRELUDE, Script};

/// Clients and servers that the pages use.
pub(crate) const NEEDS: [Need; 4] = [Need::PostgreSql, Need::MariaDb, Need::Aws, Need::Mmdebstrap];

/// Number of pages that run at once; each waits for servers most of the time.
const PARALLEL: usize = 2;

/// Maximum duration of a page in seconds.
const PAGE_TIMEOUT: &str = "300";

/// Prefixes of environment variables that would lead the commands of a page elsewhere.
const FOREIGN: [&str; 8] =
    ["AWS_", "CARGO", "COUNTERSIGN_", "LIBMYSQL_", "MYSQL", "PG", "RUST", "XDG_"];

/// Number of lines of a block's output that are shown if the block fails.
const SHOWN_LINES: usize = 40;

/// Runs a page, and removes its local stack afterwards.
const RUNNER: &str = r#"
timeout --kill-after=30 "$1" bash "$2"
status=$?
[ ! -e "$COUNTERSIGN_LOCAL_DIR" ] || timeout 60 countersign local down --wipe >/dev/null 2>&1
exit $status"#;

/// Gives a page its own network and processes: no port is in use, and every process ends with it.
const ISOLATION: [&str; 6] =
    ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// Brings up the loopback interface of a new network, hides the sockets of other pages and the
/// PostgreSQL clusters of the machine, then runs the rest of the command line.
const WITH_LOOPBACK: &str = r#"ip link set lo up && mkdir -p /run/countersign \
    && mount -t tmpfs -o mode=0755 tmpfs /run/countersign || exit
for directory in /etc/postgresql /var/lib/postgresql /var/log/postgresql; do
    [ -d $directory ] || continue
    mount -t tmpfs -o "$(stat -c mode=%a,uid=%u,gid=%g $directory)" tmpfs $directory || exit
done
exec "$@""#;

/// Page with its path relative to the root.
struct Page {
    name: String,
    script: Script,
}

/// Outcome of a page.
#[derive(Debug, Default)]
struct PageReport {
    passed: usize,
    /// Failed block or command, with the output of the block.
    failure: Option<String>,
    duration: Duration,
}

/// Builds what the pages use, and runs these pages, or all.
pub(crate) fn run(workspace: &Workspace, names: &[&str]) -> Result<(), Problem> {
    setup::require(workspace, &NEEDS)?;
    setup::build(workspace)?;
    setup::install_servers(workspace);
    attempt(workspace, names)
}

/// Runs these pages, or all, with what is built and installed.
///
/// The results are printed at the end, so that other suites can run at the same time.
pub(crate) fn attempt(workspace: &Workspace, names: &[&str]) -> Result<(), Problem> {
    let pages = read_pages(workspace.root(), names)?;
    header(&format!("command blocks of {} pages", pages.len()));
    let isolated = is_isolation_available();
    if !isolated {
        note("pages run one at a time: no network and process namespaces here");
    }
    let queue = Mutex::new(pages.iter());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..if isolated { PARALLEL } else { 1 } {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut queue| queue.next());
                    let Some(page) = next else { break };
                    let report = run_page(workspace, page, isolated);
                    note(&format!("{}: {}", page.name, outcome(&report)));
                    if let Ok(mut reports) = reports.lock() {
                        reports.push((page, report));
                    }
                }
            });
        }
    });
    summarize(reports.into_inner().unwrap_or_default())
}

fn is_isolation_available() -> bool {
    let mut words = ISOLATION.iter();
    let mut unshare = Command::new(words.next().copied().unwrap_or_default());
    unshare.args(words).args(["sh", "-c", WITH_LOOPBACK, "sh", "true"]);
    command::works(&mut unshare)
}

/// Reads README.md and the pages below docs/, or those whose path holds one of `names`.
fn read_pages(root: &Path, names: &[&str]) -> Result<Vec<Page>, Problem> {
    let mut files = vec![root.join("README.md")];
    find_pages(&root.join("docs"), &mut files)?;
    let mut pages = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        if names.is_empty() || names.iter().any(|wanted| name.contains(wanted)) {
            let text = fs::read_to_string(&file).map_err(|error| Problem::io(&file, &error))?;
            pages.push(Page { name, script: Script::parse(&text) });
        }
    }
    if pages.is_empty() {
        return Err(Problem::usage(&format!("cannot find a page {}", names.join(", "))));
    }
    Ok(pages)
}

fn find_pages(directory: &Path, into: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let entries = fs::read_dir(directory).map_err(|error| Problem::io(directory, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            find_pages(&path, into)?;
        } else if path.extension() == Some("md".as_ref()) {
            into.push(path);
        }
    }
    Ok(())
}

fn run_page(workspace: &Workspace, page: &Page, isolated: bool) -> Result<PageReport, Problem> {
    if page.script.blocks.is_empty() {
        return Ok(PageReport::default());
    }
    let directory = workspace.stacks().join("pages").join(page.name.replace(['/', '.'], "-"));
    clear(&directory)?;
    for name in ["bin", "home", "work"] {
        let made = fs::create_dir_all(directory.join(name));
        made.map_err(|error| Problem::io(&directory, &error))?;
    }
    // Alone: other programs of the build have names of clients, such as `aws`.
    let program = directory.join("bin/countersign");
    symlink(workspace.binary("countersign"), &program)
        .map_err(|error| Problem::io(&program, &error))?;
    let script = directory.join("page.sh");
    // The prelude is one line, so that the lines of the script are those of the page.
    let text = format!(
        "source \"${{0%.sh}}.prelude\"; {}\nprintf '\\036end\\n' >&3\n",
        page.script.lines.join("\n")
    );
    for (file, text) in [(&script, text.as_str()), (&script.with_extension("prelude"), PRELUDE)] {
        fs::write(file, text).map_err(|error| Problem::io(file, &error))?;
    }
    let log = directory.join("log");
    let output = fs::File::create(&log).map_err(|error| Problem::io(&log, &error))?;
    let errors = output.try_clone().map_err(|error| Problem::io(&log, &error))?;
    let mut session = session(workspace, &directory, isolated);
    session.args(["sh", "-c", RUNNER, "sh", PAGE_TIMEOUT]).arg(&script);
    let started = Instant::now();
    session.stdin(Stdio::null()).stdout(output).stderr(errors);
    if !isolated {
        session.process_group(0);
    }
    let status = session
        .spawn()
        .and_then(|mut child| {
            let status = child.wait();
            if !isolated {
                end_group(child.id());
            }
            status
        })
        .map_err(|error| Problem::new(format!("cannot run {}: {error}", page.name)))?;
    let output = fs::read(&log).map_err(|error| Problem::io(&log, &error))?;
    let mut report = read_log(page, &String::from_utf8_lossy(&output), &status.to_string());
    report.duration = started.elapsed();
    if report.failure.is_none() {
        clear(&directory)?;
    }
    Ok(report)
}

/// Removes what an earlier run of a page left.
fn clear(directory: &Path) -> Result<(), Problem> {
    if directory.exists() {
        fs::remove_dir_all(directory).map_err(|error| Problem::io(directory, &error))?;
    }
    Ok(())
}

/// Begins the command line of a page, in the environment of a new user of this machine.
fn session(workspace: &Workspace, directory: &Path, isolated: bool) -> Command {
    let mut command = Command::new("env");
    for (name, _) in std::env::vars_os() {
        if FOREIGN.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
        .current_dir(directory.join("work"))
        .env("HOME", directory.join("home"))
        .env("COUNTERSIGN_LOCAL_DIR", directory.join("stack"))
        .env("PATH", prepend(Some(directory.join("bin")), workspace.path()))
        .env("TERM", "dumb");
    // Servers that were unpacked lie in the cache of the user who runs the tests.
    if let Some(cache) = cache_directory() {
        command.env("XDG_CACHE_HOME", cache);
    }
    if isolated {
        command.args(ISOLATION).args(["sh", "-c", WITH_LOOPBACK, "sh"]);
    }
    command
}

fn cache_directory() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
}

/// Ends the processes that a page left in its process group.
fn end_group(leader: u32) {
    command::works(Command::new("kill").args(["-KILL", "--", &format!("-{leader}")]));
}

/// Reads the marks that the prelude's functions left in the output of a page.
fn read_log(page: &Page, log: &str, status: &str) -> PageReport {
    let mut reached = 0;
    let mut block = page.script.blocks.first().copied().unwrap_or(1);
    let mut output: Vec<&str> = Vec::new();
    let mut failure = None;
    for line in log.lines() {
        let (text, mark) = line.split_once('\u{1e}').unwrap_or((line, ""));
        if !text.is_empty() || mark.is_empty() {
            output.push(text);
        }
        let mut words = mark.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("block"), Some(line), ..) => {
                reached += 1;
                block = line.parse().unwrap_or(block);
                output.clear();
            }
            (Some("failed"), Some(status), Some(line), Some(command)) => {
                failure = Some(format!("{line}: exit status {status}: {command}"));
                break;
            }
            (Some("end"), ..) => {
                return PageReport { passed: page.script.blocks.len(), ..PageReport::default() };
            }
            _ => {}
        }
    }
    let what = failure.unwrap_or_else(|| match status {
        "exit status: 124" | "exit status: 137" => {
            format!("{block}: not finished after {PAGE_TIMEOUT} s")
        }
        status => format!("{block}: the shell ended with {status}"),
    });
    let first = output.len().saturating_sub(SHOWN_LINES);
    let output = output.get(first..).unwrap_or_default().join("\n    ");
    let failure = Some(format!("{}:{what}\n    {output}", page.name));
    PageReport { passed: usize::saturating_sub(reached, 1), failure, ..PageReport::default() }
}

const fn outcome(report: &Result<PageReport, Problem>) -> &'static str {
    match report {
        Ok(PageReport { failure: None, .. }) => "passed",
        _ => "failed",
    }
}

fn print_failure(report: &Result<PageReport, Problem>) {
    match report {
        Ok(PageReport { failure: None, .. }) => {}
        Ok(PageReport { failure: Some(failure), .. }) => println!("{} {failure}", red("✗")),
        Err(problem) => println!("{} {problem}", red("✗")),
    }
}

/// Prints the failures, a line for each page, and the blocks that are not run.
fn summarize(mut reports: Vec<(&Page, Result<PageReport, Problem>)>) -> Result<(), Problem> {
    reports.sort_by_key(|(page, _)| &page.name);
    reports.iter().for_each(|(_, report)| print_failure(report));
    let (mut passed, mut failed) = (0, 0);
    println!(
        "{}",
        bold("page                               passed  failed  not reached  not run  seconds")
    );
    for (page, report) in &reports {
        let report = report.as_ref().ok();
        let is_failed = report.is_none_or(|report| report.failure.is_some());
        let page_passed = report.map_or(0, |report| report.passed);
        let not_reached =
            page.script.blocks.len().saturating_sub(page_passed + usize::from(is_failed));
        passed += page_passed;
        failed += usize::from(is_failed);
        let mark = if is_failed { red("✗") } else { green("✓") };
        println!(
            "{mark} {:32} {page_passed:6}  {:6}  {not_reached:11}  {:7}  {:7}",
            page.name,
            u8::from(is_failed),
            page.script.skipped.len(),
            report.map_or(0, |report| report.duration.as_secs())
        );
    }
    for (page, _) in &reports {
        for (line, reason) in &page.script.skipped {
            println!("  {}:{line}: not run: {reason}", page.name);
        }
    }
    println!("{}", bold(&format!("{passed} passed, {failed} failed")));
    match failed {
        0 => Ok(()),
        _ => Err(Problem::new("command blocks of the documentation failed: see ✗ above")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        let text = "```sh\ntrue\n```\n```sh\nfalse\n```\n";
        Page { name: "docs/a.md".to_owned(), script: Script::parse(text) }
    }

    #[test]
    fn a_page_that_ends_has_passed() {
        let log = "\u{1e}block 1\n\u{1e}block 4\n\u{1e}end\n";
        let report = read_log(&page(), log, "exit status: 0");
        assert_eq!((report.passed, report.failure), (2, None));
    }

    #[test]
    fn a_failure_has_its_line_command_and_output() {
        let log = "\u{1e}block 1\nfirst\n\u{1e}block 4\nsecond\nlast\u{1e}failed 1 5 false x\n";
        let report = read_log(&page(), log, "exit status: 1");
        assert_eq!(report.passed, 1);
        let expected = "docs/a.md:5: exit status 1: false x\n    second\n    last";
        assert_eq!(report.failure.as_deref(), Some(expected));
    }

    #[test]
    fn a_page_without_an_end_failed_in_its_last_block() {
        let report = read_log(&page(), "\u{1e}block 1\nslow\n", "exit status: 124");
        let expected = "docs/a.md:1: not finished after 300 s\n    slow";
        assert_eq!((report.passed, report.failure.as_deref()), (0, Some(expected)));
    }
}
