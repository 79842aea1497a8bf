use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::{Action, Content, Plan, Step};
use crate::{Client, SetupError};

/// A client that records its statements, and rejects those that contain `FAIL`.
fn client(directory: &TempDir) -> Client {
    let log = directory.path().join("sql");
    let script = format!(
        "read -r sql\necho \"$sql\" >> {}\n\
         case $sql in *FAIL*) echo 'ERROR 1123 (HY000)' >&2; exit 1;; esac\n\
         printf 'a_variable\\tvalue\\n'\n",
        log.display()
    );
    Client::of_script(directory.path(), &script)
}

fn sql(statement: &str, undo: &str) -> Step {
    let action = Action::Sql {
        statement: statement.into(),
        undo: Some(undo.into()),
        remedy: Some("look here".to_owned()),
    };
    Step { action, done: false, now: String::new() }
}

fn write(path: PathBuf, text: &str) -> Step {
    Action::writing(path, 0o640, Content::Content(text.to_owned())).unwrap()
}

fn check(value: &str) -> Step {
    let variables = BTreeMap::from([("a_variable".to_owned(), value.to_owned())]);
    Step {
        action: Action::Check { variables, remedy: "look there".to_owned() },
        done: false,
        now: String::new(),
    }
}

fn executed(directory: &TempDir) -> String {
    std::fs::read_to_string(directory.path().join("sql")).unwrap_or_default()
}

#[test]
fn an_applied_plan_is_done() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("a.cnf");
    let plan = Plan {
        steps: vec![write(file.clone(), "text"), sql("DO 1;", "DO 2;"), check("value")],
        restart: false,
    };
    let mut heard = Vec::new();
    plan.apply(&client(&directory), |step| heard.push(step.action.to_string())).unwrap();
    assert_eq!(heard.len(), 3);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "text");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(write(file.clone(), "text").done);
    assert!(!write(file, "other").done);
}

#[test]
fn what_was_done_before_a_failure_is_undone_from_the_end() {
    let directory = TempDir::new().unwrap();
    let (fresh, old) = (directory.path().join("fresh"), directory.path().join("old"));
    std::fs::write(&old, "before").unwrap();
    for last in [sql("FAIL;", "DO 4;"), check("another")] {
        let steps = vec![
            write(fresh.clone(), "text"),
            write(old.clone(), "text"),
            sql("DO 1;", "DO 2;"),
            last,
        ];
        let error = Plan { steps, restart: false }.apply(&client(&directory), |_| {}).unwrap_err();
        let SetupError::Step { undone, by_hand, .. } = &error else { panic!("{error}") };
        assert_eq!(undone.len(), 3, "{error}");
        assert_eq!(undone[0], "DO 2;");
        assert!(by_hand.is_empty() && error.to_string().contains("look "), "{error}");
        assert!(!fresh.exists());
        assert_eq!(std::fs::read_to_string(&old).unwrap(), "before");
        assert!(executed(&directory).contains("DO 2;") && !executed(&directory).contains("DO 4;"));
    }
}

#[test]
fn what_can_t_be_undone_is_named() {
    let directory = TempDir::new().unwrap();
    let plan =
        Plan { steps: vec![sql("DO 1;", "FAIL to undo;"), sql("FAIL;", "DO 4;")], restart: false };
    let error = plan.apply(&client(&directory), |_| {}).unwrap_err().to_string();
    assert!(error.contains("to be undone by hand: FAIL to undo; (ERROR 1123"), "{error}");
    let first = Plan { steps: vec![sql("FAIL;", "DO 4;")], restart: false };
    let error = first.apply(&client(&directory), |_| {}).unwrap_err().to_string();
    assert!(error.contains("nothing was changed"), "{error}");
}

#[test]
fn an_unset_variable_must_be_empty() {
    let directory = TempDir::new().unwrap();
    let unset = |name: &str| {
        let variables = BTreeMap::from([(name.to_owned(), String::new())]);
        let action = Action::Check { variables, remedy: "look there".to_owned() };
        Plan { steps: vec![Step { action, done: false, now: String::new() }], restart: false }
            .apply(&client(&directory), |_| {})
    };
    unset("another_variable").unwrap();
    let error = unset("a_variable").unwrap_err().to_string();
    assert!(error.contains(r#"a_variable is "value", not unset: look there"#), "{error}");
}

#[test]
fn a_symbolic_link_is_not_followed() {
    let directory = TempDir::new().unwrap();
    let (file, elsewhere) = (directory.path().join("a.cnf"), directory.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, directory.path().join("a.new")).unwrap();
    Plan { steps: vec![write(file.clone(), "text")], restart: false }
        .apply(&client(&directory), |_| {})
        .unwrap();
    assert!(file.exists() && !elsewhere.exists());
}
