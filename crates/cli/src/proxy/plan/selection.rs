//! Selection of targets by the URLs and names on the command line.

use std::path::Path;

use countersign_config_file::{DiagnosticSink, Location};
use countersign_core::diagnostic::Position;
use countersign_core::failure::{Class, Failure};

use crate::proxy::config::{self, ConfigContext, Source, TargetConfig};

/// Parses the URLs among the arguments. Returns the targets with their positions.
pub(super) fn read_urls(
    arguments: &[String],
    context: &ConfigContext<'_>,
    sink: &DiagnosticSink,
) -> Vec<(usize, TargetConfig)> {
    let mut targets: Vec<(usize, TargetConfig)> = Vec::new();
    let urls = arguments.iter().enumerate().filter(|(_, argument)| config::is_url(argument));
    for (index, url) in urls {
        let path = format!("target {}", index + 1);
        let Some(mut target) = config::read_url(url, path, context, sink) else { continue };
        target.name =
            unique_name(&target.name, |name| targets.iter().any(|(_, other)| other.name == name));
        targets.push((index, target));
    }
    targets
}

/// Returns the targets of the arguments in their order, or all targets of the file.
pub(super) fn select(
    arguments: &[String],
    in_file: Vec<TargetConfig>,
    from_urls: Vec<(usize, TargetConfig)>,
    file: Option<&Path>,
    sink: &DiagnosticSink,
) -> Result<Vec<TargetConfig>, Failure> {
    if arguments.is_empty() {
        return all_of_file(in_file, file, sink);
    }
    let file_names: Vec<String> = in_file.iter().map(|target| target.name.clone()).collect();
    let mut selected = from_urls;
    select_by_name(arguments, in_file, &file_names, &mut selected, file, sink)?;
    selected.sort_by_key(|(index, _)| *index);
    let mut targets: Vec<TargetConfig> = Vec::new();
    for (_, mut target) in selected {
        if target.source == Source::Url {
            target.name = unique_name(&target.name, |name| {
                targets.iter().any(|other| other.name == name)
                    || file_names.iter().any(|other| other == name)
            });
        }
        targets.push(target);
    }
    Ok(targets)
}

fn all_of_file(
    in_file: Vec<TargetConfig>,
    file: Option<&Path>,
    sink: &DiagnosticSink,
) -> Result<Vec<TargetConfig>, Failure> {
    if file.is_none() {
        return Err(Failure::new(
            Class::Usage,
            "cannot start a proxy: no target is given; pass a URL, or write countersign.toml (see \
             docs/proxy.md)",
        ));
    }
    if in_file.is_empty() && sink.count() == 0 {
        sink.add(
            &Location { position: Position { line: 1, column: 1 }, path: String::new() },
            "the file has no targets: add a table such as [targets.orders]",
        );
    }
    Ok(in_file)
}

/// Moves the targets that are named from `in_file` to `selected`.
fn select_by_name(
    arguments: &[String],
    mut in_file: Vec<TargetConfig>,
    file_names: &[String],
    selected: &mut Vec<(usize, TargetConfig)>,
    file: Option<&Path>,
    sink: &DiagnosticSink,
) -> Result<(), Failure> {
    let names = arguments.iter().enumerate().filter(|(_, argument)| !config::is_url(argument));
    for (index, name) in names {
        match in_file.iter().position(|target| target.name == *name) {
            Some(at) => selected.push((index, in_file.remove(at))),
            None if selected.iter().any(|(_, target)| target.name == *name) => {
                let detail = format!("cannot serve the target {name:?} twice");
                return Err(Failure::new(Class::Usage, detail));
            }
            // The errors of the file explain why the target is missing.
            None if sink.count() > 0 => {}
            None => return Err(unknown_target(name, file_names, file)),
        }
    }
    Ok(())
}

fn unknown_target(name: &str, file_names: &[String], file: Option<&Path>) -> Failure {
    let cause = match file {
        None => "it is not a URL, and no countersign.toml was found".to_owned(),
        Some(path) if file_names.is_empty() => format!("{} has no targets", path.display()),
        Some(path) => format!("{} has only {}", path.display(), file_names.join(", ")),
    };
    Failure::new(Class::Usage, format!("cannot find the target {name:?}: {cause}"))
}

/// Returns `name`, with a number appended if it is taken.
fn unique_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    std::iter::once(name.to_owned())
        .chain(numbered)
        .find(|name| !is_taken(name))
        .unwrap_or_default()
}
