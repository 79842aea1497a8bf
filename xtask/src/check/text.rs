//! Checks of the sources' text: forbidden words, openings of doc comments, sizes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::problem::Problem;

/// Words that neither code nor prose uses: the field has terms for the actors and events that they
/// stand for. A hyphen in each keeps this list from matching itself.
const FORBIDDEN_WORDS: [&str; 12] = [
    "gu-est",
    "vis-itor",
    "wi-sh",
    "err-and",
    "where-abouts",
    "fare-well",
    "good-bye",
    "stran-ger",
    "no-body",
    "who-ever",
    "some-body",
    "any-body",
];

/// Forbidden word that is also the name of an operating-system user.
const SYSTEM_USER: &str = "no-body";

/// Words that mark a line as one about an operating-system user.
const USER_CONTEXT: [&str; 6] = ["user", "users", "uid", "euid", "chown", "setpriv"];

/// Opening words of paragraphs that describe a thing by a question instead of naming it.
const QUESTION_OPENINGS: [&str; 4] = ["What", "Whether", "Where", "Who"];

/// Number of doc comment paragraphs that may begin with one of [`QUESTION_OPENINGS`].
const MAX_QUESTION_OPENINGS: usize = 59;

/// Maximum number of lines of a Rust file.
const MAX_FILE_LINES: usize = 400;

/// Maximum number of columns of a line in a Rust file.
const MAX_COLUMNS: usize = 100;

/// Length in characters from which a word, such as a URL or a vector of a test, cannot be wrapped.
const UNBREAKABLE_WORD: usize = 60;

/// Directories whose text files are checked, besides the Markdown files of the root.
const DIRECTORIES: [&str; 7] = [".ci", "bench", "crates", "docs", "e2e", "fuzz", "xtask"];

/// Directories that hold build results, or inputs that a fuzzer generated.
const GENERATED: [&str; 4] = ["target", "node_modules", "corpus", "artifacts"];

/// A text file of the repository.
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

/// A line that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    path: PathBuf,
    line: usize,
    message: String,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.extension().is_some_and(|extension| extension == "rs")
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// Reads the text files of the repository; paths are relative to `root`.
pub(super) fn read_sources(root: &Path) -> Result<Vec<Source>, Problem> {
    let mut sources = Vec::new();
    for directory in DIRECTORIES {
        let directory = root.join(directory);
        if directory.is_dir() {
            read_directory(root, &directory, &mut sources)?;
        }
    }
    for path in entries(root)?.into_iter().filter(|path| path.extension() == Some("md".as_ref())) {
        read_file(root, &path, &mut sources)?;
    }
    Ok(sources)
}

fn read_directory(root: &Path, directory: &Path, into: &mut Vec<Source>) -> Result<(), Problem> {
    for path in entries(directory)? {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && GENERATED.iter().all(|generated| name != *generated) {
            read_directory(root, &path, into)?;
        } else if path.is_file() && path.extension() != Some("lock".as_ref()) {
            read_file(root, &path, into)?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let entries = fs::read_dir(directory).map_err(|error| Problem::io(directory, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    Ok(paths)
}

/// Adds a file if it is text: inputs of fuzz targets may be any bytes.
fn read_file(root: &Path, path: &Path, into: &mut Vec<Source>) -> Result<(), Problem> {
    let bytes = fs::read(path).map_err(|error| Problem::io(path, &error))?;
    if let Ok(text) = String::from_utf8(bytes) {
        let path = path.strip_prefix(root).unwrap_or(path).to_owned();
        into.push(Source { path, text });
    }
    Ok(())
}

/// Finds forbidden words: whole words in any case, also inside snake_case names.
///
/// One exception: the operating-system user of that name is allowed on a line that quotes the word
/// (`"…"` or backticks) or that holds one of [`USER_CONTEXT`].
pub(super) fn forbidden_words(sources: &[Source]) -> Vec<Finding> {
    let forbidden = FORBIDDEN_WORDS.map(|word| word.replace('-', ""));
    let mut findings = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            let words = line.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_lowercase);
            for word in words.filter(|word| forbidden.contains(word)) {
                if !names_system_user(line, &word) {
                    findings.push(source.finding(index + 1, format!("{word:?}: {}", line.trim())));
                }
            }
        }
    }
    findings
}

fn names_system_user(line: &str, word: &str) -> bool {
    let quoted = || ['"', '`'].iter().any(|q| line.contains(&format!("{q}{word}{q}")));
    let has_context = || {
        line.to_lowercase()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|other| USER_CONTEXT.contains(&other))
    };
    word == SYSTEM_USER.replace('-', "") && (quoted() || has_context())
}

/// Finds doc comment paragraphs that begin with one of [`QUESTION_OPENINGS`].
///
/// Up to [`MAX_QUESTION_OPENINGS`] are tolerated, so the result is either empty or names them all.
pub(super) fn question_openings(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let mut begins = true;
        for (index, line) in source.text.lines().enumerate() {
            let Some(text) = doc_text(line) else {
                begins = true;
                continue;
            };
            let opening = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            if begins && QUESTION_OPENINGS.contains(&opening) {
                findings.push(source.finding(index + 1, text));
            }
            begins = text.is_empty();
        }
    }
    if findings.len() > MAX_QUESTION_OPENINGS { findings } else { Vec::new() }
}

/// Returns the text of a line of a doc comment.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("///").or_else(|| line.strip_prefix("//!")).map(str::trim)
}

/// Finds Rust files that are too long.
pub(super) fn long_files(sources: &[Source]) -> Vec<Finding> {
    let rust = sources.iter().filter(|source| source.is_rust());
    let lengths = rust.map(|source| (source, source.text.lines().count()));
    let long = lengths.filter(|(_, lines)| *lines > MAX_FILE_LINES);
    long.map(|(source, lines)| source.finding(lines, format!("{lines} lines"))).collect()
}

/// Finds lines that are too wide in Rust files.
///
/// Exempt are lines with a word that cannot be wrapped, and expected output: inline snapshots and
/// the lines of raw strings.
pub(super) fn wide_lines(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_rust()) {
        let mut raw_string = None;
        for (index, line) in source.text.lines().enumerate() {
            let begins_in_raw_string = raw_string.is_some();
            raw_string = open_raw_string(line, raw_string);
            let columns = line.chars().count();
            let unbreakable = |word: &str| word.chars().count() >= UNBREAKABLE_WORD;
            let is_output = begins_in_raw_string || raw_string.is_some() || line.contains("@\"");
            if columns > MAX_COLUMNS && !is_output && !line.split_whitespace().any(unbreakable) {
                findings.push(source.finding(index + 1, format!("{columns} columns")));
            }
        }
    }
    findings
}

/// Marks that open a raw string, each with the mark that closes it.
const RAW_STRINGS: [(&str, &str); 6] = [
    ("@r#\"", "\"#"),
    ("= r#\"", "\"#"),
    ("(r#\"", "\"#"),
    ("@r\"", "\""),
    ("= r\"", "\""),
    ("(r\"", "\""),
];

/// Returns the mark that closes the raw string which is open after this line, if one is.
fn open_raw_string(line: &str, open: Option<&'static str>) -> Option<&'static str> {
    let (after, close) = match open {
        Some(close) => (line, close),
        None => RAW_STRINGS
            .iter()
            .find_map(|(mark, close)| line.split_once(mark).map(|(_, after)| (after, *close)))?,
    };
    (!after.contains(close)).then_some(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, text: &str) -> Vec<Source> {
        vec![Source { path: name.into(), text: text.to_owned() }]
    }

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn forbidden_words_are_found_whole_in_any_case_and_in_names() {
        let word = FORBIDDEN_WORDS[0].replace('-', "");
        let text = format!("A {word}.\nfn {word}_closes() {{}}\n{word}s\n{}", word.to_uppercase());
        assert_eq!(lines(&forbidden_words(&source("a.md", &text))), [1, 2, 4]);
    }

    #[test]
    fn the_system_user_is_allowed_in_its_context_only() {
        let word = SYSTEM_USER.replace('-', "");
        let text =
            format!("the user {word}\n\"{word}\"\n`{word}`\n{word} connects\nsuperuser {word}");
        assert_eq!(lines(&forbidden_words(&source("a.rs", &text))), [4, 5]);
    }

    #[test]
    fn openings_of_paragraphs_count_and_continuations_do_not() {
        let one = "/// What it is.\n///\n/// Where it lies.\n/// Who reads it.\nstruct A;\n";
        assert!(question_openings(&source("a.rs", one)).is_empty());
        let many = one.repeat(MAX_QUESTION_OPENINGS / 2 + 1);
        let findings = question_openings(&source("a.rs", &many));
        assert_eq!(findings.len(), MAX_QUESTION_OPENINGS + 1);
        assert_eq!(lines(&findings)[..3], [1, 3, 6]);
        assert!(question_openings(&source("a.md", &many)).is_empty());
    }

    #[test]
    fn the_limits_of_length_and_width_are_inclusive() {
        assert!(long_files(&source("a.rs", &"\n".repeat(MAX_FILE_LINES))).is_empty());
        assert_eq!(long_files(&source("a.rs", &"\n".repeat(MAX_FILE_LINES + 1))).len(), 1);
        let words = "wörd ".repeat(MAX_COLUMNS / 5);
        let text = format!("{words}\n{words}x\n{}", "x".repeat(MAX_COLUMNS + 1));
        assert_eq!(lines(&wide_lines(&source("a.rs", &text))), [2]);
    }

    #[test]
    fn wide_lines_of_snapshots_are_allowed() {
        let wide = "word ".repeat(MAX_COLUMNS / 5 + 1);
        let text = format!("f(x, @r\"\n{wide}\n\");\nf(x, @\"{wide}\");\nf(x, \"{wide}\");\n");
        assert_eq!(lines(&wide_lines(&source("a.rs", &text))), [5]);
    }
}
