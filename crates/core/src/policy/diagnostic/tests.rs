use super::{MAX_MISTAKES, Path, Position, Report};

#[test]
fn paths_read_as_people_write_them() {
    let root = Path::Root;
    let statement = root.key("Statement");
    let second = statement.index(1);
    let condition = second.key("Condition");
    assert_eq!(
        condition.key("ForAllValues:StringEquals").to_string(),
        r#"$.Statement[1].Condition["ForAllValues:StringEquals"]"#
    );
    assert_eq!(condition.key("StringEquals").to_string(), "$.Statement[1].Condition.StringEquals");
}

#[test]
fn mistakes_come_in_the_order_of_the_text() {
    let mut report = Report::default();
    report.add(&Path::Root, Position { line: 3, column: 1 }, "later");
    report.add(&Path::Root, Position { line: 2, column: 9 }, "earlier");
    let mistakes = report.conclude(Some(())).unwrap_err();
    assert_eq!(mistakes.to_string(), "$ (line 2, column 9): earlier\n$ (line 3, column 1): later");
    assert_eq!(mistakes.as_slice()[0].problem(), "earlier");
    assert_eq!(
        serde_json::to_string(&mistakes).unwrap(),
        concat!(
            r#"[{"path":"$","line":2,"column":9,"problem":"earlier"},"#,
            r#"{"path":"$","line":3,"column":1,"problem":"later"}]"#
        )
    );
}

#[test]
fn mistakes_without_number_are_counted_not_kept() {
    let at = Position { line: 1, column: 1 };
    let full = || {
        let mut report = Report::default();
        (0..MAX_MISTAKES + 2).for_each(|index| report.add(&Path::Root.index(index), at, "wrong"));
        report
    };
    let mut report = full();
    assert_eq!(report.count(), 102);
    report.embed(&Path::Root, at, full());
    let mistakes = report.conclude(Some(())).unwrap_err();
    assert_eq!(mistakes.as_slice().len(), 100);
    assert!(mistakes.to_string().ends_with("$[99] (line 1, column 1): wrong\nand 104 more"));
}
