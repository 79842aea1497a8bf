use std::time::Duration;

use tempfile::TempDir;

use super::{Statement, WaitCondition};
use crate::plan::{Action, Plan, Step};
use crate::{Client, SetupError};

/// A client that returns a row for the first `rows` queries, and rejects any other statement until
/// then.
fn client(directory: &TempDir, rows: u32) -> Client {
    let (asked, log) = (directory.path().join("asked"), directory.path().join("sql"));
    let script = format!(
        "read -r sql\nasked=$(cat {asked} 2>/dev/null || echo 0)\ncase $sql in\n\
         SELECT*) [ $asked -ge {rows} ] || echo DELETED; echo $((asked + 1)) > {asked};;\n\
         UNINSTALL*) echo \"$sql\" >> {log};;\n\
         *) if [ $asked -lt {rows} ]; then echo 'ERROR 1968 (HY000)' >&2; exit 1; fi; \
         echo \"$sql\" >> {log};;\nesac\n",
        asked = asked.display(),
        log = log.display(),
    );
    Client::of_script(directory.path(), &script)
}

fn executed(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("sql")).unwrap_or_default()
}

fn install(timeout: Duration) -> Statement {
    let ending = WaitCondition {
        query: "SELECT 1;",
        timeout,
        remedy: "a login is under way: run this again",
    };
    Statement { text: "INSTALL;".to_owned(), after: Some(ending) }
}

fn step(statement: Statement, undo: Option<Statement>) -> Step {
    Step { action: Action::Sql { statement, undo, remedy: None }, done: false, now: String::new() }
}

#[test]
fn a_statement_runs_after_its_condition() {
    let directory = TempDir::new().unwrap();
    install(Duration::from_secs(60)).run(&client(&directory, 3)).unwrap();
    assert_eq!(executed(&directory), "INSTALL;\n");
}

#[test]
fn a_timeout_runs_nothing() {
    let directory = TempDir::new().unwrap();
    let error = install(Duration::ZERO).run(&client(&directory, 3)).unwrap_err().to_string();
    assert_eq!(error, "timed out after 0 s: a login is under way: run this again");
    assert_eq!(executed(&directory), "");
}

#[test]
fn an_undo_statement_waits_too() {
    let directory = TempDir::new().unwrap();
    let steps = || {
        vec![
            step("UNINSTALL;".into(), Some(install(Duration::from_secs(60)))),
            step(install(Duration::ZERO), None),
        ]
    };
    let error =
        Plan { steps: steps(), restart: false }.apply(&client(&directory, 3), |_| {}).unwrap_err();
    let SetupError::Step { undone, by_hand, .. } = &error else { panic!("{error}") };
    assert!(undone == &["INSTALL;"] && by_hand.is_empty(), "{error}");
    assert_eq!(executed(&directory), "UNINSTALL;\nINSTALL;\n");
}
