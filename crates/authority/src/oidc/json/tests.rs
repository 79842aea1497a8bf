use super::object;

#[test]
fn an_object_is_read_whole() {
    let text = r#"{"a": [1, -2, 3.5, "x", true, null, {"b": {}}], "c": "\u00e9"}"#;
    assert_eq!(
        object(text.as_bytes()).map(Into::into),
        serde_json::from_str::<serde_json::Value>(text).ok()
    );
}

#[test]
fn duplicate_keys_are_refused_at_any_depth() {
    for text in
        [r#"{"a": 1, "a": 1}"#, r#"{"a": 1, "\u0061": 2}"#, r#"{"x": [{"a": 1, "b": 2, "a": 3}]}"#]
    {
        assert_eq!(object(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn whatever_is_no_object_is_refused() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    for text in [
        "",
        "{",
        "[]",
        "\"a\"",
        "null",
        "{} {}",
        "{}x",
        r#"{"a": 1,}"#,
        "{'a': 1}",
        "{\"a\": NaN}",
        &deep,
    ] {
        assert_eq!(object(text.as_bytes()), None);
    }
    assert_eq!(object(b"{\"a\": \"\xff\"}"), None);
}
