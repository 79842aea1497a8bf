//! From what is asked for and what is written to what is done: flags, environment and file become [`Settings`] and an
//! [`Operation`].

mod listeners;
mod operation;
mod target;

use std::path::{Path, PathBuf};

use countersign_config_file::{DiagnosticSink, Location};
use countersign_core::diagnostic::Diagnostic;
use countersign_core::failure::{Class, Failure};
use countersign_proxy::settings::{Settings, TargetSettings};

use super::config::{self, ConfigContext, Given, Raw};
use super::{Request, duration};

use listeners::Listeners;
pub(crate) use operation::{AdminSocket, Grace, HTTP_PORT, Logs, Operation, default_admin_socket};

/// How long a client has for its login where nobody says.
pub(super) const LOGIN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);

/// What a proxy is to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) operation: Operation,
    /// The files that all of it was read from, certificates too.
    pub(crate) files: Vec<PathBuf>,
    /// Targets that were left out because of their mistakes, in a sentence each.
    pub(crate) left_out: Vec<String>,
}

/// Where a configuration is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Environment<'a> {
    pub(crate) working_directory: &'a Path,
    pub(crate) variable: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("working_directory", &self.working_directory)
            .finish_non_exhaustive()
    }
}

/// Works it out. `before` is what has been done so far: targets whose ports are counted up keep theirs.
pub(crate) fn make(
    request: &Request,
    surroundings: Environment<'_>,
    before: Option<&Settings>,
) -> Result<Plan, Failure> {
    let path = find(request, surroundings)?;
    let directory =
        path.as_deref().and_then(Path::parent).unwrap_or(surroundings.working_directory);
    let around = ConfigContext::new(directory, surroundings.variable);
    let report = DiagnosticSink::default();
    let file = match &path {
        Some(path) => config::read(&read(path)?, &around, &report),
        None => config::File::default(),
    };
    let usual = file.options;
    let options = request.options.clone().over(usual.clone());
    let here = ConfigContext::new(surroundings.working_directory, surroundings.variable);
    let from_urls = urls(request, &here, &report);
    let chosen = choose(request, file.targets, from_urls, path.as_deref(), &report)?;
    let mut listeners = Listeners::new(&chosen, &request.options, &usual, before);
    let one = chosen.len() == 1;
    let resolver = target::Resolver {
        flags: &request.options,
        usual: &usual,
        options: &options,
        one,
        report: &report,
    };
    let targets =
        chosen.iter().filter_map(|raw| Some((raw, resolver.target(raw, &mut listeners)?)));
    let targets: Vec<_> = targets.map(|(raw, target)| (raw.place.path.clone(), target)).collect();
    let left_out =
        conclude(report, path.as_deref(), options.skip_failed_instance_config == Some(true))?;
    let is_left_out =
        |place: &str| !place.is_empty() && left_out.iter().any(|(other, _)| other == place);
    let targets: Vec<_> = targets
        .into_iter()
        .filter(|(place, _)| !is_left_out(place))
        .map(|(_, target)| target)
        .collect();
    if targets.is_empty() {
        return Err(wrong("there is no target left to serve"));
    }
    let max_connections =
        usize::try_from(options.max_connections.unwrap_or(0)).unwrap_or(usize::MAX);
    let login_timeout = options.login_timeout.unwrap_or(LOGIN_TIMEOUT);
    let settings = Settings { targets, max_connections, login_timeout };
    let operation = Operation::of(&options, surroundings)?;
    let certificates = settings.targets.iter().flat_map(TargetSettings::files).cloned();
    let files = path
        .into_iter()
        .chain(around.read.take())
        .chain(here.read.take())
        .chain(certificates)
        .collect();
    Ok(Plan {
        settings,
        operation,
        files,
        left_out: left_out.into_iter().map(|(_, said)| said).collect(),
    })
}

fn wrong(detail: impl Into<String>) -> Failure {
    Failure::new(Class::Configuration, detail)
}

/// The file: the one that is named, else the nearest there is.
pub(crate) fn find(
    request: &Request,
    surroundings: Environment<'_>,
) -> Result<Option<PathBuf>, Failure> {
    if let Some(named) = &request.config {
        let path = surroundings.working_directory.join(named);
        return if path.exists() {
            Ok(Some(path))
        } else {
            Err(wrong(format!("{} is not there", path.display())))
        };
    }
    let set = |name: &str| {
        (surroundings.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    };
    let home = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")));
    let below = home.map(|home| home.join("countersign/countersign.toml"));
    let here = surroundings.working_directory.join("countersign.toml");
    Ok([Some(here), below].into_iter().flatten().find(|path| path.exists()))
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| crate::process::io_failure(&path.display().to_string(), &error))
}

/// The targets that are given by URL, in their places among the arguments.
fn urls(request: &Request, here: &ConfigContext<'_>, report: &DiagnosticSink) -> Vec<(usize, Raw)> {
    let mut raws: Vec<(usize, Raw)> = Vec::new();
    for (index, text) in request.targets.iter().enumerate().filter(|(_, text)| config::is_url(text))
    {
        if let Some(mut raw) = config::read_url(text, format!("target {}", index + 1), here, report)
        {
            raw.name = distinct(&raw.name, |name| raws.iter().any(|(_, other)| other.name == name));
            raws.push((index, raw));
        }
    }
    raws
}

/// `name`, or with a number where there is another of that name.
fn distinct(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_default()
}

/// Those that are asked for; all of the file's where none is.
fn choose(
    request: &Request,
    mut of_file: Vec<Raw>,
    from_urls: Vec<(usize, Raw)>,
    path: Option<&Path>,
    report: &DiagnosticSink,
) -> Result<Vec<Raw>, Failure> {
    if request.targets.is_empty() {
        if path.is_none() {
            return Err(Failure::new(
                Class::Usage,
                "there is nothing to serve: give a URL, or write countersign.toml (see docs/proxy.md)",
            ));
        }
        if of_file.is_empty() && report.count() == 0 {
            report.add(
                &Location { position: START, path: String::new() },
                "there is no table such as [targets.orders] in it",
            );
        }
        return Ok(of_file);
    }
    let names: Vec<String> = of_file.iter().map(|raw| raw.name.clone()).collect();
    let mut chosen: Vec<(usize, Raw)> = from_urls;
    for (index, name) in
        request.targets.iter().enumerate().filter(|(_, text)| !config::is_url(text))
    {
        match of_file.iter().position(|raw| raw.name == *name) {
            Some(at) => chosen.push((index, of_file.remove(at))),
            None if chosen.iter().any(|(_, raw)| raw.name == *name) => {
                return Err(Failure::new(
                    Class::Usage,
                    format!("the target {name:?} is named twice"),
                ));
            }
            // Its own mistakes say why it is not among them.
            None if report.count() > 0 => {}
            None => return Err(unknown(name, &names, path)),
        }
    }
    chosen.sort_by_key(|(index, _)| *index);
    let mut raws: Vec<Raw> = Vec::new();
    for (_, mut raw) in chosen {
        if raw.given == Given::ByUrl {
            raw.name = distinct(&raw.name, |name| {
                raws.iter().any(|other| other.name == name)
                    || names.iter().any(|other| other == name)
            });
        }
        raws.push(raw);
    }
    Ok(raws)
}

const START: countersign_core::diagnostic::Position =
    countersign_core::diagnostic::Position { line: 1, column: 1 };

fn unknown(name: &str, names: &[String], path: Option<&Path>) -> Failure {
    let detail = match path {
        None => format!(
            "{name:?} is no URL, and there is no countersign.toml that would say what it is"
        ),
        Some(path) if names.is_empty() => format!("there is no target in {}", path.display()),
        Some(path) => format!(
            "there is no target {name:?} in {}; there are {}",
            path.display(),
            names.join(", ")
        ),
    };
    Failure::new(Class::Usage, detail)
}

/// Nothing where nothing is wrong; with `skip` the targets that have mistakes, by the path of their table.
fn conclude(
    report: DiagnosticSink,
    path: Option<&Path>,
    skip: bool,
) -> Result<Vec<(String, String)>, Failure> {
    let Err(mistakes) = report.finish() else {
        return Ok(Vec::new());
    };
    let of_targets: Option<Vec<_>> =
        mistakes.as_slice().iter().map(|mistake| Some((table(mistake)?, said(mistake)))).collect();
    if let (true, Some(left_out)) = (skip, of_targets) {
        return Ok(left_out);
    }
    // What the command line says wrong has no line; it is said first.
    let is_given = |mistake: &&Diagnostic| mistake.position == config::NOWHERE;
    let given: Vec<String> = mistakes.as_slice().iter().filter(is_given).map(said).collect();
    if given.len() == mistakes.as_slice().len() {
        return Err(Failure::new(Class::Usage, given.join("\n")));
    }
    let written: Vec<String> =
        mistakes.as_slice().iter().filter(|mistake| !is_given(mistake)).map(said).collect();
    let name = path.map_or_else(|| "the targets".to_owned(), |path| path.display().to_string());
    let more = (mistakes.omitted() > 0).then(|| format!("and {} more", mistakes.omitted()));
    let lines =
        given.into_iter().chain([format!("{name} can't be used:")]).chain(written).chain(more);
    Err(wrong(lines.collect::<Vec<_>>().join("\n")))
}

/// The table that a mistake is in: `targets.NAME`, or a URL's own.
fn table(mistake: &Diagnostic) -> Option<String> {
    if mistake.position == config::NOWHERE {
        return mistake.path.split('.').next().map(str::to_owned);
    }
    let mut parts = mistake.path.split('.');
    let (first, name) = (parts.next()?, parts.next()?);
    (first == "targets").then(|| format!("{first}.{name}"))
}

fn said(mistake: &Diagnostic) -> String {
    if mistake.position == config::NOWHERE {
        format!("{}: {}", mistake.path, mistake.problem)
    } else {
        mistake.to_string()
    }
}

#[cfg(test)]
mod tests;
