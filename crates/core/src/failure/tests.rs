use std::collections::BTreeSet;

use super::{AuditOutcome, Class, quoted};

#[test]
fn every_class_stands_in_the_table_with_a_name_of_its_own() {
    let names: BTreeSet<String> = Class::ALL.iter().map(Class::to_string).collect();
    assert_eq!(names.len(), Class::ALL.len());
    for class in Class::ALL {
        assert_eq!(class.sqlstate().len(), 5);
        assert_ne!(class.exit_status(), 0, "{class} must not look like success");
        assert_ne!(class.outcome(), AuditOutcome::Allowed, "{class}");
        assert_eq!(serde_json::from_str::<Class>(&format!("\"{class}\"")).unwrap(), class);
    }
}

#[test]
fn somebody_else_s_text_is_escaped_and_cut() {
    assert_eq!(quoted("a\n\"b\""), r#""a\n\"b\"""#);
    assert_eq!(quoted(&"é".repeat(60_000)).chars().count(), 103);
}
