use super::{MAX_DEPTH, MAX_SIZE, Node, Value, read};
use crate::policy::diagnostic::{Position, Report};
use proptest::prelude::*;

fn parsed(text: &str) -> Result<Node, String> {
    let mut report = Report::default();
    let node = read(text, &mut report);
    report.conclude(node).map_err(|mistakes| mistakes.to_string())
}

fn string(text: &str) -> String {
    match parsed(text).unwrap().value {
        Value::String(string) => string,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_and_values_know_their_line_and_column() {
    let node = parsed("{\n  \"é\": [1,\n true]}").unwrap();
    let Value::Object(members) = &node.value else { panic!() };
    assert_eq!((members[0].at.line, members[0].at.column), (2, 3));
    assert_eq!(members[0].node.at, Position { line: 2, column: 8 });
    let Value::Array(nodes) = &members[0].node.value else { panic!() };
    assert_eq!(nodes[1], Node { at: Position { line: 3, column: 2 }, value: Value::Bool(true) });
}

#[test]
fn escapes_and_surrogates_are_read() {
    assert_eq!(string(r#""\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00""#), "\"\\/\u{8}\u{c}\n\r\tAé😀");
}

#[test]
fn numbers_keep_every_digit() {
    for number in ["0", "-0", "-1.50", "12345678901234567890123", "1e400", "0.1E-7"] {
        assert_eq!(parsed(number).unwrap().value, Value::Number(number.into()));
    }
}

#[test]
fn what_rfc_8259_does_not_know_is_refused_with_its_place() {
    for (text, mistake) in [
        ("", "$ (line 1, column 1): expected a JSON value, found the end of the document"),
        ("{\"a\":\n1,}", "$ (line 2, column 3): expected a key in double quotes, found '}'"),
        ("[1 2]", "$ (line 1, column 4): expected ',' or ']', found '2'"),
        ("{\"a\" 1}", "$.a (line 1, column 6): expected ':', found '1'"),
        ("[01]", "$ (line 1, column 3): expected ',' or ']', found '1'"),
        ("[.5]", "$[0] (line 1, column 2): expected a JSON value, found '.'"),
        ("[1.]", "$[0] (line 1, column 4): expected a digit, found ']'"),
        ("nul", "$ (line 1, column 4): expected null, found the end of the document"),
        (
            "\"a\tb\"",
            "$ (line 1, column 3): the control character '\\t' must be escaped in a string",
        ),
        (
            r#""\x""#,
            "$ (line 1, column 3): expected one of \"\\/bfnrtu after a backslash, found 'x'",
        ),
        (r#""\ud800""#, "$ (line 1, column 8): a high surrogate without a low one after it"),
        (r#""\udc00""#, "$ (line 1, column 8): a low surrogate without a high one before it"),
        (r#"["\ud800A"]"#, "a high surrogate without a low one after it"),
        ("'a'", "$ (line 1, column 1): expected a JSON value, found '\\''"),
        ("1 1", "there is more after the end of the document"),
        ("\u{feff}{}", "$ (line 1, column 1): expected a JSON value, found '\\u{feff}'"),
    ] {
        let refused = parsed(text).unwrap_err();
        assert!(refused.contains(mistake), "{text:?}: {refused}");
    }
}

#[test]
fn a_key_that_stands_twice_is_a_mistake_however_it_is_spelt() {
    let refused = parsed(
        "{\"Effect\": \"Deny\", \"Action\": {\"a\": 1, \"\\u0061\": 2},\n \"Effect\": \"Allow\"}",
    )
    .unwrap_err();
    assert_eq!(
        refused,
        "$.Action.a (line 1, column 39): the key \"a\" stands here twice; keep one\n\
         $.Effect (line 2, column 2): the key \"Effect\" stands here twice; keep one"
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parsed(&nested(MAX_DEPTH)).is_ok());
    assert!(parsed(&nested(MAX_DEPTH + 1)).unwrap_err().contains("nested deeper than 32 levels"));
    assert!(parsed(&"[".repeat(1 << 20)).is_err());
    assert!(parsed(&" ".repeat(MAX_SIZE + 1)).unwrap_err().contains("at most 4194304 are read"));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in ".*") {
        let _ = parsed(&text);
    }

    #[test]
    fn what_it_reads_serde_json_reads_too(text in r#"[\[\]{}":,0-9truefalsn\\u \-.eE]{0,40}"#) {
        if parsed(&text).is_ok() {
            // serde_json alone refuses numbers that no f64 can hold.
            let known = serde_json::from_str::<serde_json::Value>(&text);
            prop_assert!(known.is_ok() || known.unwrap_err().to_string().contains("number out of range"));
        } else if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            // What only serde_json reads has two equal keys, of which it dropped one.
            prop_assert!(text.contains('{'), "{}", value);
        }
    }
}
