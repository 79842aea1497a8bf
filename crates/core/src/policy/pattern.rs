//! Patterns: text with `*`, `?` and policy variables. A pattern is compiled once and matched in
//! time proportional to the product of the lengths of pattern and subject.

use std::borrow::Cow;
use std::fmt;

/// Maximum number of variables in one value.
pub(super) const MAX_VARIABLES: usize = 8;

/// Interpretation of `*` and `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    /// `*` matches any number of characters and `?` one.
    Special,
    /// `*` and `?` match themselves.
    Literal,
}

/// Interpretation of `${…}`: a variable from version 2012-10-17 of the language on, literal text
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    Expanded,
    Literal,
}

/// Looks up the values of variables.
pub(super) trait Lookup {
    /// Returns the value of a lower-case key. A multivalued key cannot be used as a variable.
    fn variable(&self, key: &str) -> Option<&str>;
}

/// A lookup without variables.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoValues;

impl Lookup for NoValues {
    fn variable(&self, _key: &str) -> Option<&str> {
        None
    }
}

/// Segments of an ARN. Wildcards match within a segment and do not cross the colon that ends it.
/// The number is the offset from which colons do not separate segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArnSegments(usize);

impl ArnSegments {
    /// No segments: wildcards match any character.
    pub(super) const NONE: Self = Self(0);

    /// The six parts of an ARN. Only the last part, the resource, may contain colons.
    pub(super) fn of_arn(arn: &str) -> Self {
        Self(arn.match_indices(':').nth(4).map_or(arn.len(), |(at, _)| at + 1))
    }

    fn separates(self, at: usize, byte: u8) -> bool {
        byte == b':' && at < self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    /// `?`
    One,
    /// `*`
    Many,
    Variable {
        key: Box<str>,
        default: Option<Box<str>>,
        slot: usize,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Glob(Box<[Piece]>),
}

/// A compiled pattern. It displays as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    source: Box<str>,
    form: Form,
}

impl Pattern {
    /// Compiles `source`. The error describes the problem and its remedy.
    pub(super) fn compile(
        source: &str,
        wildcards: Wildcards,
        variables: Variables,
    ) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut slots = 0;
        let mut rest = source;
        while let Some(next) = rest.chars().next() {
            if variables == Variables::Expanded
                && let Some(inner) = rest.strip_prefix("${")
            {
                let Some((name, after)) = inner.split_once('}') else {
                    return Err(format!(
                        "{source:?} has an unterminated variable after \"${{\"; add \"}}\""
                    ));
                };
                rest = after;
                if let special @ ("*" | "?" | "$") = name {
                    text.push_str(special);
                } else {
                    flush(&mut text, &mut pieces);
                    pieces.push(variable(name, slots)?);
                    slots += 1;
                }
                continue;
            }
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            match next {
                '*' | '?' if wildcards == Wildcards::Special => {
                    flush(&mut text, &mut pieces);
                    let piece = if next == '?' { Piece::One } else { Piece::Many };
                    // Consecutive stars are equivalent to one.
                    if piece == Piece::One || pieces.last() != Some(&Piece::Many) {
                        pieces.push(piece);
                    }
                }
                plain => text.push(plain),
            }
        }
        flush(&mut text, &mut pieces);
        if slots > MAX_VARIABLES {
            return Err(format!("{source:?} has {slots} variables; the limit is {MAX_VARIABLES}"));
        }
        Ok(Self { source: source.into(), form: Form::of(pieces) })
    }

    /// Compiles a pattern that matches lower-case subjects, because actions are case-insensitive.
    pub(super) fn folded(source: &str) -> Self {
        let folded =
            Self::compile(&source.to_ascii_lowercase(), Wildcards::Special, Variables::Literal);
        // Compiling fails only for variables.
        let form = folded.map_or_else(|_| Form::Exact(source.into()), |pattern| pattern.form);
        Self { source: source.into(), form }
    }

    /// The pattern as written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn has_variables(&self) -> bool {
        let variable = |piece: &Piece| matches!(piece, Piece::Variable { .. });
        matches!(&self.form, Form::Glob(pieces) if pieces.iter().any(variable))
    }

    /// Returns true if the pattern matches the whole of `subject`. The value of a variable is
    /// literal text, including any wildcards in it. A pattern with a variable without value matches
    /// nothing.
    pub(super) fn matches(
        &self,
        subject: &str,
        segments: ArnSegments,
        lookup: &impl Lookup,
    ) -> bool {
        match &self.form {
            Form::Any => true,
            Form::Exact(text) => **text == *subject,
            Form::Prefix(prefix) => match subject.strip_prefix(&**prefix) {
                Some(rest) => has_no_separator(rest.as_bytes(), prefix.len(), segments),
                None => false,
            },
            Form::Glob(pieces) => {
                ends_match(pieces, subject)
                    && values(pieces, lookup)
                        .is_some_and(|values| glob(pieces, &values, subject.as_bytes(), segments))
            }
        }
    }

    /// Expands a pattern without wildcards. Returns `None` if one of its variables has no value.
    pub(super) fn text<'a>(&'a self, lookup: &'a impl Lookup) -> Option<Cow<'a, str>> {
        match &self.form {
            Form::Any | Form::Prefix(_) => Some(Cow::Borrowed(&*self.source)),
            Form::Exact(text) => Some(Cow::Borrowed(&**text)),
            Form::Glob(pieces) => {
                let values = values(pieces, lookup)?;
                Some(
                    pieces
                        .iter()
                        .map(|piece| piece.text(&values).unwrap_or_default())
                        .collect::<String>()
                        .into(),
                )
            }
        }
    }

    /// Keys of the variables that have no value.
    pub(super) fn unresolved<'a>(
        &'a self,
        lookup: &'a impl Lookup,
    ) -> impl Iterator<Item = &'a str> {
        let pieces: &[Piece] = if let Form::Glob(pieces) = &self.form { pieces } else { &[] };
        pieces.iter().filter_map(move |piece| match piece {
            Piece::Variable { key, default: None, .. } if lookup.variable(key).is_none() => {
                Some(&**key)
            }
            _ => None,
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl Form {
    fn of(pieces: Vec<Piece>) -> Self {
        match pieces.as_slice() {
            [] => Form::Exact("".into()),
            [Piece::Many] => Form::Any,
            [Piece::Text(text)] => Form::Exact(text.clone()),
            [Piece::Text(text), Piece::Many] => Form::Prefix(text.clone()),
            _ => Form::Glob(pieces.into()),
        }
    }
}

fn flush(text: &mut String, pieces: &mut Vec<Piece>) {
    if !text.is_empty() {
        pieces.push(Piece::Text(std::mem::take(text).into()));
    }
}

/// `key` or `key, 'default'`.
/// Source: IAM user guide, "Policy elements: variables and tags", "Specifying default values".
fn variable(name: &str, slot: usize) -> Result<Piece, String> {
    let (key, default) = match name.split_once(',') {
        None => (name, None),
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let Some(quoted) = quoted else {
                return Err(format!(
                    "the default in \"${{{name}}}\" must be in single quotes, as in \"${{{key}, \
                     'text'}}\""
                ));
            };
            (key, Some(quoted.into()))
        }
    };
    let key = key.trim();
    let named =
        key.split_once(':').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty());
    if !named || key.contains(['$', '{', '*', '?', '\'', '"']) {
        return Err(format!(
            "\"${{{name}}}\" does not name a condition key; write a key as in \
             \"${{aws:username}}\", or \"${{$}}\" for a dollar sign"
        ));
    }
    Ok(Piece::Variable { key: key.to_ascii_lowercase().into(), default, slot })
}

/// Looks up the values of the variables in `pieces`, each in its slot.
fn values<'a>(pieces: &'a [Piece], lookup: &'a impl Lookup) -> Option<[&'a str; MAX_VARIABLES]> {
    let mut values = [""; MAX_VARIABLES];
    for piece in pieces {
        if let Piece::Variable { key, default, slot } = piece {
            *values.get_mut(*slot)? = lookup.variable(key).or(default.as_deref())?;
        }
    }
    Some(values)
}

impl Piece {
    /// The fixed text of the piece; `None` for a wildcard.
    fn text<'a>(&'a self, values: &[&'a str; MAX_VARIABLES]) -> Option<&'a str> {
        match self {
            Piece::Text(text) => Some(text),
            Piece::Variable { slot, .. } => values.get(*slot).copied(),
            Piece::One | Piece::Many => None,
        }
    }
}

/// Returns true if no segment ends within `rest`, which begins at `start` of the subject.
fn has_no_separator(rest: &[u8], start: usize, segments: ArnSegments) -> bool {
    start >= segments.0 || !rest.iter().zip(start..).any(|(byte, at)| segments.separates(at, *byte))
}

/// Returns true if the fixed text at both ends of a pattern matches the ends of the subject. That
/// rejects most mismatches before any variable is looked up.
fn ends_match(pieces: &[Piece], subject: &str) -> bool {
    let fits = |piece: Option<&Piece>, fits: fn(&str, &str) -> bool| match piece {
        Some(Piece::Text(text)) => fits(subject, text),
        _ => true,
    };
    fits(pieces.first(), |subject, text| subject.starts_with(text))
        && fits(pieces.last(), |subject, text| subject.ends_with(text))
}

/// Matches greedily and, on a mismatch, extends the last star. Backtracking to the last star is
/// enough, because it can reach every position that an earlier star could.
fn glob(
    pieces: &[Piece],
    values: &[&str; MAX_VARIABLES],
    subject: &[u8],
    segments: ArnSegments,
) -> bool {
    let (mut piece, mut at) = (0, 0);
    let mut star = None;
    loop {
        let rest = subject.get(at..).unwrap_or_default();
        let step = match pieces.get(piece) {
            None if rest.is_empty() => return true,
            None => None,
            Some(Piece::Many) => {
                star = Some((piece + 1, at));
                if piece + 1 == pieces.len() && has_no_separator(rest, at, segments) {
                    return true;
                }
                Some(0)
            }
            Some(Piece::One) => char_width(subject, at, segments),
            Some(fixed) => {
                fixed.text(values).filter(|text| rest.starts_with(text.as_bytes())).map(str::len)
            }
        };
        if let Some(width) = step {
            piece += 1;
            at += width;
            continue;
        }
        let Some((after, from)) = star else {
            return false;
        };
        // Extends the star to the next position at which the text after it can begin.
        let first = pieces
            .get(after)
            .and_then(|piece| piece.text(values))
            .and_then(|text| text.bytes().next());
        let Some(next) = next_candidate(subject, from, first, segments) else {
            return false;
        };
        star = Some((after, next));
        (piece, at) = (after, next);
    }
}

/// Returns the next position after `from` of the byte `first` (of any byte for `None`), unless a
/// segment ends before it.
fn next_candidate(
    subject: &[u8],
    mut from: usize,
    first: Option<u8>,
    segments: ArnSegments,
) -> Option<usize> {
    loop {
        from += char_width(subject, from, segments)?;
        if first.is_none_or(|first| subject.get(from) == Some(&first)) {
            return Some(from);
        }
    }
}

/// Width of the character at `at`; `None` at the end of the subject or of a segment.
fn char_width(subject: &[u8], at: usize, segments: ArnSegments) -> Option<usize> {
    let byte = *subject.get(at)?;
    let width = match byte {
        0..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    };
    (!segments.separates(at, byte)).then_some(width)
}

#[cfg(test)]
mod tests;
