//! The fields of one table, taken one by one: what is left over is unknown.

use std::fmt::Display;
use std::str::FromStr;

use countersign_core::json::{Member, Node, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::diagnostics::{DiagnosticSink, Location};

/// A value with its place.
#[derive(Debug, Clone)]
pub struct Spanned<T> {
    /// Where it stands.
    pub location: Location,
    /// The value.
    pub value: T,
}

/// The table that is being read.
#[derive(Debug)]
pub struct Fields<'n> {
    /// Where it stands.
    pub location: Location,
    members: &'n [Member],
    known: Vec<&'static str>,
    report: &'n DiagnosticSink,
}

impl<'n> Fields<'n> {
    /// The fields of a table; anything else is a mistake.
    pub fn of(node: &'n Node, place: Location, report: &'n DiagnosticSink) -> Option<Self> {
        match &node.value {
            Value::Object(members) => {
                Some(Self { location: place, members, known: Vec::new(), report })
            }
            other => {
                report.add(&place, format!("{} stands where a table is expected", other.noun()));
                None
            }
        }
    }

    /// The field of that name; `null` counts as none.
    pub fn take(&mut self, key: &'static str) -> Option<(Location, &'n Node)> {
        self.known.push(key);
        let member = self.members.iter().find(|member| member.key == key)?;
        (member.node.value != Value::Null).then(|| (self.location.member(member), &member.node))
    }

    /// Reports a field that is not there.
    pub fn require(&self, key: &'static str) {
        if !self.members.iter().any(|member| member.key == key && member.node.value != Value::Null)
        {
            self.report.add(&self.location, format!("{key} is missing"));
        }
    }

    /// A string.
    pub fn text(&mut self, key: &'static str) -> Option<Spanned<&'n str>> {
        let (place, node) = self.take(key)?;
        string(place, node, self.report)
    }

    /// A string that has to be there.
    pub fn required(&mut self, key: &'static str) -> Option<Spanned<&'n str>> {
        self.require(key);
        self.text(key)
    }

    /// A string of the form of `T`.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, key: &'static str) -> Option<T> {
        let text = self.text(key)?;
        parse(&text, self.report)
    }

    /// A number in a range.
    pub fn number(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let (place, node) = self.take(key)?;
        let number = match &node.value {
            Value::Number(digits) => digits.parse().ok().filter(|number| range.contains(number)),
            _ => None,
        };
        if number.is_none() {
            self.report.add(
                &place,
                format!("a number from {} to {} is expected", range.start(), range.end()),
            );
        }
        number
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        let (place, node) = self.take(key)?;
        if let Value::Bool(flag) = node.value {
            return Some(flag);
        }
        self.report
            .add(&place, format!("{} stands where true or false is expected", node.value.noun()));
        None
    }

    /// An instant, in seconds since 1970.
    pub fn instant(&mut self, key: &'static str) -> Option<u64> {
        let text = self.text(key)?;
        let seconds = OffsetDateTime::parse(text.value, &Rfc3339)
            .ok()
            .and_then(|at| u64::try_from(at.unix_timestamp()).ok());
        if seconds.is_none() {
            self.report.add(
                &text.location,
                "an instant such as 2024-01-15T12:00:00Z is expected, from 1970 on",
            );
        }
        seconds
    }

    /// The elements of an array.
    pub fn list(&mut self, key: &'static str) -> Option<Vec<(Location, &'n Node)>> {
        let (place, node) = self.take(key)?;
        let Value::Array(nodes) = &node.value else {
            self.report
                .add(&place, format!("{} stands where a list is expected", node.value.noun()));
            return None;
        };
        Some(
            nodes
                .iter()
                .enumerate()
                .map(|(index, node)| (place.index(index, node), node))
                .collect(),
        )
    }

    /// The strings of an array.
    pub fn texts(&mut self, key: &'static str) -> Option<Vec<Spanned<String>>> {
        let list = self.list(key)?;
        let text = |(place, node)| {
            string(place, node, self.report)
                .map(|text| Spanned { location: text.location, value: text.value.to_owned() })
        };
        Some(list.into_iter().filter_map(text).collect())
    }

    /// The members of a table whose keys are names.
    pub fn map(&mut self, key: &'static str) -> Option<Vec<(Location, &'n str, &'n Node)>> {
        let (place, node) = self.take(key)?;
        members(&place, node, self.report)
    }

    /// Remembers that what stands here can't be used, though others may refer to it.
    pub fn broken(&self) {
        let name = self.members.iter().find_map(|member| match &member.node.value {
            Value::String(name) if member.key == "name" || member.key == "arn" => Some(name),
            _ => None,
        });
        name.into_iter().for_each(|name| self.report.hide(name));
    }

    /// Reports every field that nobody took.
    pub fn finish(self) {
        for member in
            self.members.iter().filter(|member| !self.known.contains(&member.key.as_str()))
        {
            let place = Location { at: member.position, ..self.location.member(member) };
            self.report.add(
                &place,
                format!(
                    "there is no field {:?} here; there are {}",
                    member.key,
                    self.known.join(", ")
                ),
            );
        }
    }
}

/// A string; anything else is a mistake.
pub fn string<'n>(
    place: Location,
    node: &'n Node,
    report: &DiagnosticSink,
) -> Option<Spanned<&'n str>> {
    match &node.value {
        Value::String(value) => Some(Spanned { location: place, value }),
        other => {
            report.add(&place, format!("{} stands where a string is expected", other.noun()));
            None
        }
    }
}

/// The members of a table.
pub fn members<'n>(
    place: &Location,
    node: &'n Node,
    report: &DiagnosticSink,
) -> Option<Vec<(Location, &'n str, &'n Node)>> {
    let Value::Object(members) = &node.value else {
        report.add(place, format!("{} stands where a table is expected", node.value.noun()));
        return None;
    };
    Some(
        members
            .iter()
            .map(|member| (place.member(member), member.key.as_str(), &member.node))
            .collect(),
    )
}

/// A string as a value of the form that it has to have.
pub fn parse<T: FromStr<Err: Display>>(text: &Spanned<&str>, report: &DiagnosticSink) -> Option<T> {
    match text.value.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            report.add(&text.location, error.to_string());
            None
        }
    }
}
