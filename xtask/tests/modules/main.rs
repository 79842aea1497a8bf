//! Proves that the modules inside each crate import in one direction.
//!
//! Each file is a node; an inline module belongs to its file. A file depends on the file that
//! defines an item it names: re-exports are followed. Code for tests (`#[cfg(test)]`) is left out.

mod graph;
mod source;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use graph::Graph;
use source::CrateModules;

type TestResult = Result<(), Box<dyn Error>>;

#[test]
fn modules_of_every_crate_import_in_one_direction() -> TestResult {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("xtask has no parent")?;
    let mut failures = Vec::new();
    for package in packages(root)? {
        for crate_root in crate_roots(&package.join("src"))? {
            let modules = CrateModules::read(&crate_root)?;
            let circles = Graph::of(&modules).circles();
            if !circles.is_empty() {
                let file = crate_root.strip_prefix(root)?.display().to_string();
                failures.push(format!("{file}:\n{}", circles.join("\n")));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "move what both sides of a circle use into a module of its own:\n{}",
        failures.join("\n")
    );
    Ok(())
}

/// Directories of the workspace's packages.
fn packages(root: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut packages: Vec<PathBuf> =
        ["bench", "e2e", "fuzz", "xtask"].iter().map(|name| root.join(name)).collect();
    for entry in fs::read_dir(root.join("crates"))? {
        packages.push(entry?.path());
    }
    packages.retain(|package| package.join("Cargo.toml").is_file());
    packages.sort();
    Ok(packages)
}

/// Root files of the library and of the binaries.
fn crate_roots(sources: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut roots = vec![sources.join("lib.rs"), sources.join("main.rs")];
    if let Ok(binaries) = fs::read_dir(sources.join("bin")) {
        for binary in binaries {
            let path = binary?.path();
            roots.push(if path.is_dir() { path.join("main.rs") } else { path });
        }
    }
    roots.retain(|root| root.is_file());
    Ok(roots)
}

/// Describes the circles of a crate whose files are given as module path and text.
fn circles(files: &[(&str, &str)]) -> Result<Vec<String>, Box<dyn Error>> {
    Ok(Graph::of(&CrateModules::parse(files)?).circles())
}

const LIB: &str = "mod pool; mod session; pub use session::Session;";

#[test]
fn imports_in_one_direction_are_no_circle() -> TestResult {
    let files = [
        ("", LIB),
        ("pool", "mod bucket; pub use bucket::Bucket; use self::bucket::Idle;"),
        ("pool::bucket", "pub struct Bucket; pub(super) struct Idle;"),
        ("session", "use crate::pool::{self, Bucket}; pub struct Session(pool::Bucket, Bucket);"),
    ];
    assert!(circles(&files)?.is_empty());
    Ok(())
}

#[test]
fn a_circle_is_named_with_its_edges() -> TestResult {
    let files = [
        ("", LIB),
        ("pool", "use std::sync::{Arc, Mutex as Lock}; use crate::{session::{self, End as Why}};"),
        ("session", "pub enum End { Closed } pub struct Session; fn f() { crate::pool::open(); }"),
    ];
    let found = circles(&files)?;
    assert_eq!(
        found,
        ["  circle of 2: pool, session\n    pool -> session (End)\n    session -> pool (open)"]
    );
    Ok(())
}

#[test]
fn a_re_export_leads_to_the_module_that_defines_the_item() -> TestResult {
    let through_root = [
        ("", LIB),
        ("pool", "use crate::Session; pub struct Bucket;"),
        ("session", "use super::pool::Bucket; pub struct Session;"),
    ];
    assert_eq!(circles(&through_root)?.len(), 1);
    let through_glob = [
        ("", "mod a; mod b; pub(crate) use a::*;"),
        ("a", "pub(crate) struct A; fn f() -> crate::b::B { todo!() }"),
        ("b", "use crate::A; pub(crate) struct B;"),
    ];
    assert_eq!(circles(&through_glob)?.len(), 1);
    Ok(())
}

#[test]
fn a_child_that_uses_its_parent_s_items_is_a_circle() -> TestResult {
    let files = [
        ("", "mod pool;"),
        ("pool", "mod bucket; use bucket::Bucket; struct Limits;"),
        ("pool::bucket", "use super::Limits; pub struct Bucket;"),
    ];
    assert_eq!(
        circles(&files)?,
        ["  circle of 2: pool, pool::bucket\n    pool -> pool::bucket (Bucket)\n    \
             pool::bucket -> pool (Limits)"]
    );
    Ok(())
}

#[test]
fn paths_in_macros_count_and_tests_comments_and_strings_do_not() -> TestResult {
    let with = |session: &str| {
        let files = [
            ("", "mod pool; mod session;"),
            ("pool", "pub fn open() { crate::session::close(); }"),
            ("session", session),
        ];
        circles(&files)
    };
    assert_eq!(with("fn f() { assert!([1].len() > crate::pool::open()) }")?.len(), 1);
    for harmless in [
        "//! crate::pool::open\nfn f() -> &'static str { \"crate::pool::open\" }",
        "#[cfg(test)] mod tests { use crate::pool::open; }",
        "#[cfg(test)] #[allow(dead_code)] fn f() { crate::pool::open(); } pub(super) fn close() {}",
        "#[cfg(test)] use crate::pool::open;",
    ] {
        assert!(with(harmless)?.is_empty(), "{harmless}");
    }
    assert_eq!(with("mod inline { fn f() { super::super::pool::open(); } }")?.len(), 1);
    Ok(())
}
