use super::{MAX_DEPTH, MAX_SIZE, Node, Value, parse, parse_value};
use crate::diagnostic::Position;
use proptest::prelude::*;

fn parsed(text: &str) -> Result<Node, String> {
    parse(text, MAX_SIZE).map_err(|diagnostics| diagnostics.to_string())
}

fn string(text: &str) -> String {
    match parsed(text).unwrap().value {
        Value::String(string) => string,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_and_values_have_line_and_column() {
    let node = parsed("{\n  \"é\": [1,\n true]}").unwrap();
    let Value::Object(members) = &node.value else { panic!() };
    assert_eq!((members[0].position.line, members[0].position.column), (2, 3));
    assert_eq!(members[0].node.position, Position { line: 2, column: 8 });
    let Value::Array(nodes) = &members[0].node.value else { panic!() };
    assert_eq!(
        nodes[1],
        Node { position: Position { line: 3, column: 2 }, value: Value::Bool(true) }
    );
}

#[test]
fn escapes_and_surrogates_are_decoded() {
    assert_eq!(string(r#""\"\\\/\b\f\n\r\tA\u00e9\ud83d\ude00""#), "\"\\/\u{8}\u{c}\n\r\tAé😀");
}

#[test]
fn numbers_keep_every_digit() {
    for number in ["0", "-0", "-1.50", "12345678901234567890123", "1e400", "0.1E-7"] {
        assert_eq!(parsed(number).unwrap().value, Value::Number(number.into()));
    }
}

#[test]
fn text_outside_of_rfc_8259_is_rejected_with_its_position() {
    for (text, error) in [
        ("", "$ (line 1, column 1): expected a JSON value, found the end of the document"),
        ("{\"a\":\n1,}", "$ (line 2, column 3): expected a key in double quotes, found '}'"),
        ("[1 2]", "$ (line 1, column 4): expected ',' or ']', found '2'"),
        ("{\"a\" 1}", "$.a (line 1, column 6): expected ':', found '1'"),
        ("[01]", "$ (line 1, column 3): expected ',' or ']', found '1'"),
        ("[.5]", "$[0] (line 1, column 2): expected a JSON value, found '.'"),
        ("[1.]", "$[0] (line 1, column 4): expected a digit, found ']'"),
        ("nul", "$ (line 1, column 4): expected null, found the end of the document"),
        ("\"a\tb\"", "$ (line 1, column 3): control character '\\t' must be escaped"),
        (
            r#""\x""#,
            "$ (line 1, column 3): expected one of \"\\/bfnrtu after a backslash, found 'x'",
        ),
        (r#""\ud800""#, "$ (line 1, column 8): high surrogate without a following low surrogate"),
        (r#""\udc00""#, "$ (line 1, column 8): low surrogate without a preceding high surrogate"),
        (r#"["\ud800A"]"#, "high surrogate without a following low surrogate"),
        ("'a'", "$ (line 1, column 1): expected a JSON value, found '\\''"),
        ("1 1", "unexpected data after the end of the document"),
        ("\u{feff}{}", "$ (line 1, column 1): expected a JSON value, found '\\u{feff}'"),
    ] {
        let rejected = parsed(text).unwrap_err();
        assert!(rejected.contains(error), "{text:?}: {rejected}");
    }
}

#[test]
fn duplicate_keys_are_errors_even_if_escaped_differently() {
    let rejected = parsed(
        "{\"Effect\": \"Deny\", \"Action\": {\"a\": 1, \"\\u0061\": 2},\n \"Effect\": \"Allow\"}",
    )
    .unwrap_err();
    assert_eq!(
        rejected,
        "$.Action.a (line 1, column 39): duplicate key \"a\"; keep one\n\
         $.Effect (line 2, column 2): duplicate key \"Effect\"; keep one"
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(parsed(&nested(MAX_DEPTH)).is_ok());
    assert!(parsed(&nested(MAX_DEPTH + 1)).unwrap_err().contains("nested deeper than 32 levels"));
    assert!(parsed(&"[".repeat(1 << 20)).is_err());
    assert!(parsed(&" ".repeat(MAX_SIZE + 1)).unwrap_err().contains("the limit is 4194304"));
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".*") {
        let _ = parsed(&text);
    }

    #[test]
    fn serde_json_accepts_the_same_text(text in r#"[\[\]{}":,0-9truefalsn\\u \-.eE]{0,40}"#) {
        if parsed(&text).is_ok() {
            // Only serde_json rejects numbers that no f64 can hold.
            let value = serde_json::from_str::<serde_json::Value>(&text);
            match (value, parse_value(&text, MAX_SIZE)) {
                (Ok(value), ours) => prop_assert_eq!(ours.ok(), Some(value)),
                (Err(error), ours) => {
                    prop_assert!(error.to_string().contains("number out of range"));
                    prop_assert!(ours.is_err());
                }
            }
        } else if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            // Text that only serde_json reads has a duplicate key, of which it kept the last.
            prop_assert!(text.contains('{'), "{}", value);
        }
    }
}
