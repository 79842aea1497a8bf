use super::{ArnSegments, Lookup, MAX_VARIABLES, NoValues, Pattern, Variables, Wildcards};
use proptest::prelude::*;

struct Values(&'static [(&'static str, &'static str)]);

impl Lookup for Values {
    fn variable(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|entry| entry.0 == key).map(|entry| entry.1)
    }
}

fn pattern(source: &str) -> Pattern {
    Pattern::compile(source, Wildcards::Special, Variables::Expanded).unwrap()
}

fn matches(source: &str, subject: &str) -> bool {
    pattern(source).matches(subject, ArnSegments::NONE, &NoValues)
}

fn resource(source: &str, subject: &str) -> bool {
    pattern(source).matches(subject, ArnSegments::of_arn(subject), &NoValues)
}

#[test]
fn star_matches_any_text_and_question_mark_one_character() {
    for (source, subject) in [
        ("*", ""),
        ("a*", "a"),
        ("a*c", "abbc"),
        ("?", "é"),
        ("*é?", "aébéc"),
        ("a**b", "ab"),
        ("*a*b*", "xxaxxbxx"),
    ] {
        assert!(matches(source, subject), "{source} {subject}");
    }
    for (source, subject) in [
        ("", "a"),
        ("a", ""),
        ("?", ""),
        ("?", "ab"),
        ("a*c", "ab"),
        ("*ab", "aab "),
        ("a?b", "ab"),
        ("A", "a"),
    ] {
        assert!(!matches(source, subject), "{source} {subject}");
    }
}

/// IAM user guide, "IAM JSON policy elements: Resource", "Using wildcards in resource ARNs".
#[test]
fn wildcards_in_an_arn_do_not_cross_segments_before_the_resource() {
    for object in [
        "1/test/object.jpg",
        "1/2/test/3/object.jpg",
        "1///test///object.jpg",
        "1/test/.jpg",
        "/test/object.jpg",
        "1/test/",
    ] {
        assert!(resource(
            "arn:aws:s3:::amzn-s3-demo-bucket/*/test/*",
            &format!("arn:aws:s3:::amzn-s3-demo-bucket/{object}")
        ));
    }
    for object in ["1-test/object.jpg", "test/object.jpg", "1/2/test.jpg"] {
        assert!(!resource(
            "arn:aws:s3:::amzn-s3-demo-bucket/*/test/*",
            &format!("arn:aws:s3:::amzn-s3-demo-bucket/{object}")
        ));
    }
    let user = "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABC/jane";
    assert!(resource("arn:aws:rds-db:*:*:dbuser:*/jane", user));
    assert!(resource("arn:aws:rds-db:us-east-?:123456789012:*", user));
    assert!(resource("arn:aws:rds-db:us-east-1:123456789012:*jane", user));
    assert!(
        !resource("arn:aws:rds-db:*:dbuser:*/jane", user),
        "a star does not match a colon before the resource"
    );
    assert!(!resource("arn:aws:rds-db:*", user));
    assert!(
        !resource("arn:aws:rds-db:us-east-1?123456789012:*", user),
        "a question mark does not match a colon either"
    );
    assert!(resource("*", user) && resource("*", "*"));
    assert!(!resource("arn:aws:s3:::*", "*"));
}

#[test]
fn values_of_variables_are_literal() {
    let values = Values(&[("aws:username", "jane"), ("aws:principaltag/team", "a*c")]);
    let matches =
        |source: &str, subject: &str| pattern(source).matches(subject, ArnSegments::NONE, &values);
    assert!(matches("home/${aws:username}/*", "home/jane/x"));
    assert!(matches("home/${AWS:UserName}", "home/jane"));
    assert!(!matches("home/${aws:username}", "home/john"));
    assert!(matches("${aws:PrincipalTag/Team}", "a*c"));
    assert!(!matches("${aws:PrincipalTag/Team}", "abc"), "a wildcard in a value is no wildcard");
    assert!(matches("*${aws:username}*${aws:username}", "xx-jane-jane-jane"));
}

#[test]
fn a_variable_without_a_value_matches_nothing_unless_it_has_a_default() {
    assert!(!matches("x${aws:username}", "x"));
    assert!(!matches("x${aws:username}", "x${aws:username}"));
    assert!(!matches("*${aws:username}", "anything"));
    assert!(matches("team-${aws:PrincipalTag/team, 'company-wide'}", "team-company-wide"));
    assert_eq!(pattern("${a:b}${c:d, ''}").unresolved(&NoValues).collect::<Vec<_>>(), ["a:b"]);
}

#[test]
fn special_variables_are_the_characters_themselves() {
    assert!(matches("a${*}b${?}c${$}{d}", "a*b?c${d}"));
    assert!(!matches("a${*}b", "axb"));
}

#[test]
fn before_2012_a_variable_is_literal_text() {
    let old =
        Pattern::compile("home/${aws:username}", Wildcards::Literal, Variables::Literal).unwrap();
    assert!(old.matches(
        "home/${aws:username}",
        ArnSegments::NONE,
        &Values(&[("aws:username", "jane")])
    ));
}

#[test]
fn malformed_variables_are_rejected() {
    let compile_error = |source: &str| {
        Pattern::compile(source, Wildcards::Special, Variables::Expanded).unwrap_err()
    };
    assert!(compile_error("a/${aws:username").contains("unterminated variable"));
    for source in ["${}", "${username}", "${aws:}", "${aws:a*}", "${ }", "${aws:${aws:username}}"] {
        assert!(
            compile_error(source).contains("does not name a condition key"),
            "{source}: {}",
            compile_error(source)
        );
    }
    assert!(compile_error("${aws:username, none}").contains("single quotes"));
    assert!(compile_error(&"${aws:username}".repeat(MAX_VARIABLES + 1)).contains("the limit is 8"));
    assert!(Pattern::compile("$5 {x} $", Wildcards::Special, Variables::Expanded).is_ok());
}

#[test]
fn actions_are_case_insensitive() {
    let action = Pattern::folded("RDS-DB:Conn*");
    assert!(action.matches("rds-db:connect", ArnSegments::NONE, &NoValues));
    assert_eq!(action.source(), "RDS-DB:Conn*");
}

#[test]
fn matching_is_not_exponential() {
    let source = "a*".repeat(500) + "b";
    let subject = "a".repeat(20_000);
    let start = std::time::Instant::now();
    assert!(!matches(&source, &subject));
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Naive matcher that follows the definition. It takes exponential time.
fn reference(pattern: &[char], subject: &[char], at: usize, segments: usize) -> bool {
    let wall = |index: usize| subject.get(index) == Some(&':') && at + index < segments;
    match (pattern.split_first(), subject.split_first()) {
        (None, _) => subject.is_empty(),
        (Some(('*', rest)), _) => {
            reference(rest, subject, at, segments)
                || (!subject.is_empty()
                    && !wall(0)
                    && reference(pattern, &subject[1..], at + 1, segments))
        }
        (Some(('?', rest)), Some((_, tail))) => !wall(0) && reference(rest, tail, at + 1, segments),
        (Some((wanted, rest)), Some((found, tail))) => {
            wanted == found && reference(rest, tail, at + 1, segments)
        }
        (Some(_), None) => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn matching_agrees_with_a_naive_matcher(
        source in "[ab:*?]{0,10}",
        subject in "[ab:]{0,12}",
        arn in any::<bool>(),
    ) {
        let pattern = pattern(&source);
        let source: Vec<char> = source.chars().collect();
        let letters: Vec<char> = subject.chars().collect();
        // A single star matches everything, as in "Resource": "*".
        prop_assume!(!arn || source.iter().any(|letter| *letter != '*') || source.is_empty());
        let segments = if arn { ArnSegments::of_arn(&subject) } else { ArnSegments::NONE };
        let expected = reference(&source, &letters, 0, segments.0);
        prop_assert_eq!(pattern.matches(&subject, segments, &NoValues), expected);
    }

    #[test]
    fn a_variable_matches_like_its_literal_value(
        before in "[ab*]{0,4}",
        value in "[ab]{0,4}",
        after in "[ab*]{0,4}",
        subject in "[ab]{0,8}",
    ) {
        struct One(String);
        impl Lookup for One {
            fn variable(&self, _key: &str) -> Option<&str> {
                Some(&self.0)
            }
        }
        let literal = pattern(&format!("{before}{value}{after}"));
        let variable = pattern(&format!("{before}${{a:b}}{after}"));
        prop_assert_eq!(
            literal.matches(&subject, ArnSegments::NONE, &NoValues),
            variable.matches(&subject, ArnSegments::NONE, &One(value))
        );
    }

    #[test]
    fn compiling_never_panics(source in ".{0,60}") {
        let _ = Pattern::compile(&source, Wildcards::Special, Variables::Expanded)
            .map(|pattern| pattern.matches(&source, ArnSegments::of_arn(&source), &NoValues));
    }
}
