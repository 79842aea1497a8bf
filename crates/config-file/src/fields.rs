//! The fields of one table. Those that are not taken are unknown.

use std::fmt::Display;
use std::str::FromStr;

use countersign_core::json::{Member, Node, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::diagnostics::{DiagnosticSink, Location};

/// A value with its location.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// Location of the value.
    pub location: Location,
    /// The value.
    pub value: T,
}

/// A table that is being read.
#[derive(Debug)]
pub struct Fields<'n> {
    /// Location of the table.
    pub location: Location,
    members: &'n [Member],
    known: Vec<&'static str>,
    sink: &'n DiagnosticSink,
}

impl<'n> Fields<'n> {
    /// Returns the fields of a table. Adds an error for any other value.
    pub fn of(node: &'n Node, location: Location, sink: &'n DiagnosticSink) -> Option<Self> {
        match &node.value {
            Value::Object(members) => Some(Self { location, members, known: Vec::new(), sink }),
            other => {
                sink.add(&location, format!("expected a table, found {}", other.noun()));
                None
            }
        }
    }

    /// Takes a field. `null` counts as absent.
    pub fn take(&mut self, key: &'static str) -> Option<(Location, &'n Node)> {
        self.known.push(key);
        let member = self.members.iter().find(|member| member.key == key)?;
        (member.node.value != Value::Null).then(|| (self.location.member(member), &member.node))
    }

    /// Adds an error if a field is absent.
    pub fn require(&self, key: &'static str) {
        if !self.members.iter().any(|member| member.key == key && member.node.value != Value::Null)
        {
            self.sink.add(&self.location, format!("{key} is missing"));
        }
    }

    /// Takes a string.
    pub fn text(&mut self, key: &'static str) -> Option<Spanned<&'n str>> {
        let (location, node) = self.take(key)?;
        string(location, node, self.sink)
    }

    /// Takes a required string.
    pub fn required(&mut self, key: &'static str) -> Option<Spanned<&'n str>> {
        self.require(key);
        self.text(key)
    }

    /// Takes a string that parses as `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        parse(&text, self.sink)
    }

    /// Takes a number in a range.
    pub fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let (location, node) = self.take(key)?;
        let number = match &node.value {
            Value::Number(digits) => digits.parse().ok().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            self.sink.add(
                &location,
                format!("expected a number from {} to {}", range.start(), range.end()),
            );
        }
        number
    }

    /// Takes a boolean.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (location, node) = self.take(key)?;
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        self.sink.add(&location, format!("expected true or false, found {}", node.value.noun()));
        None
    }

    /// Takes a timestamp, in seconds since 1970.
    pub fn instant(&mut self, key: &'static str) -> Option<u64> {
        let text = self.text(key)?;
        let seconds = OffsetDateTime::parse(text.value, &Rfc3339)
            .ok()
            .and_then(|at| u64::try_from(at.unix_timestamp()).ok());
        if seconds.is_none() {
            self.sink.add(
                &text.location,
                "expected a timestamp such as 2024-01-15T12:00:00Z, not before 1970",
            );
        }
        seconds
    }

    /// Takes the elements of an array.
    pub fn list(&mut self, key: &'static str) -> Option<Vec<(Location, &'n Node)>> {
        let (location, node) = self.take(key)?;
        let Value::Array(nodes) = &node.value else {
            self.sink.add(&location, format!("expected a list, found {}", node.value.noun()));
            return None;
        };
        Some(
            nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (location.index(index, node), node))
                .collect(),
        )
    }

    /// Takes the strings of an array.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        let list = self.list(key)?;
        let text = |(location, node)| {
            string(location, node, self.sink)
                .map(|text| Spanned { location: text.location, value: text.value.to_owned() })
        };
        Some(list.into_iter().filter_map(text).collect())
    }

    /// Takes the members of a table whose keys are names.
    pub fn map(&mut self, key: &'static str) -> Option<Vec<(Location, &'n str, &'n Node)>> {
        let (location, node) = self.take(key)?;
        members(&location, node, self.sink)
    }

    /// Records that this entry has errors, so that references to it are not reported as missing.
    pub fn broken(&self) {
        let name = self.members.iter().find_map(|member| match &member.node.value {
            Value::String(name) if member.key == "name" || member.key == "arn" => Some(name),
            _ => None,
        });
        name.into_iter().for_each(|name| self.sink.hide(name));
    }

    /// Adds an error for each field that was not taken.
    pub fn finish(self) {
        for member in
            self.members.iter().filter(|member| !self.known.contains(&member.key.as_str()))
        {
            let location = Location { position: member.position, ..self.location.member(member) };
            self.sink.add(
                &location,
                format!("unknown field {:?}; known fields: {}", member.key, self.known.join(", ")),
            );
        }
    }
}

/// Returns a string. Adds an error for any other value.
pub fn string<'n>(
    location: Location,
    node: &'n Node,
    sink: &DiagnosticSink,
) -> Option<Spanned<&'n str>> {
    match &node.value {
        Value::String(value) => Some(Spanned { location, value }),
        other => {
            sink.add(&location, format!("expected a string, found {}", other.noun()));
            None
        }
    }
}

/// Returns the members of a table. Adds an error for any other value.
pub fn members<'n>(
    location: &Location,
    node: &'n Node,
    sink: &DiagnosticSink,
) -> Option<Vec<(Location, &'n str, &'n Node)>> {
    let Value::Object(members) = &node.value else {
        sink.add(location, format!("expected a table, found {}", node.value.noun()));
        return None;
    };
    Some(
        members
            .iter()
            .map(|member| (location.member(member), member.key.as_str(), &member.node))
            .collect(),
    )
}

/// Parses a string. Adds an error if it is malformed.
pub fn parse<T: FromStr<Err: Display>>(text: &Spanned<&str>, sink: &DiagnosticSink) -> Option<T> {
    match text.value.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            sink.add(&text.location, error.to_string());
            None
        }
    }
}
