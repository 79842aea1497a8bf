//! Comparison of the documented actions with the implemented ones.

use std::collections::BTreeSet;

use super::route::SERVICES;

const DOCUMENT: &str = include_str!("../../../docs/local-aws.md");

/// Returns the first cells of the tables below the heading `### NAME`.
fn named(service: &str) -> BTreeSet<&'static str> {
    let (_, section) = DOCUMENT.split_once(&format!("\n### {service}\n")).unwrap();
    let (section, _) = section.split_once("\n#").unwrap();
    let cells = section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .filter_map(|line| line.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn documentation_lists_exactly_the_implemented_actions() {
    for service in SERVICES {
        let there: BTreeSet<&str> = service
            .actions
            .iter()
            .flat_map(|group| group.iter())
            .map(|action| action.name)
            .collect();
        let named = named(&service.name.to_uppercase());
        let missing: Vec<_> = there.difference(&named).collect();
        let gone: Vec<_> = named.difference(&there).collect();
        assert!(
            missing.is_empty() && gone.is_empty(),
            "docs/local-aws.md, {}: lacks {missing:?}, has {gone:?}",
            service.name
        );
    }
}
