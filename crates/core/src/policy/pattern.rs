//! Patterns: text with `*`, `?` and policy variables, compiled once and matched in time linear in pattern times subject.

use std::borrow::Cow;
use std::fmt;

/// How many variables one value may hold.
pub(super) const MAX_VARIABLES: usize = 8;

/// What is special in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wildcards {
    /// `*` is any number of characters and `?` is one.
    Special,
    /// `*` and `?` stand for themselves.
    Literal,
}

/// Whether `${…}` is a variable. It is from version 2012-10-17 of the language; before, it is literal text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variables {
    Expanded,
    Literal,
}

/// Gives variables their values.
pub(super) trait Lookup {
    /// The value of a key (lower case) that has exactly one. A key with many can't be used as a variable.
    fn variable(&self, key: &str) -> Option<&str>;
}

/// Knows no variables.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoValues;

impl Lookup for NoValues {
    fn variable(&self, _key: &str) -> Option<&str> {
        None
    }
}

/// Which colons of a subject no wildcard crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ArnSegments(usize);

impl ArnSegments {
    /// Wildcards cross everything.
    pub(super) const NONE: Self = Self(0);

    /// The five colons that separate the parts of an ARN: wildcards stay within a part, and only the last part, the
    /// resource, may hold colons of its own.
    pub(super) fn of_arn(arn: &str) -> Self {
        Self(arn.match_indices(':').nth(4).map_or(arn.len(), |(at, _)| at + 1))
    }

    fn stands(self, at: usize, byte: u8) -> bool {
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

/// A compiled pattern, which shows as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    source: Box<str>,
    form: Form,
}

impl Pattern {
    /// Compiles `source`; the error says what is wrong with it.
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
                        "{source:?} opens a variable with \"${{\" and never closes it; add \"}}\""
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
                    // Two stars in a row are one.
                    if piece == Piece::One || pieces.last() != Some(&Piece::Many) {
                        pieces.push(piece);
                    }
                }
                plain => text.push(plain),
            }
        }
        flush(&mut text, &mut pieces);
        if slots > MAX_VARIABLES {
            return Err(format!(
                "{source:?} has {slots} variables; at most {MAX_VARIABLES} are evaluated"
            ));
        }
        Ok(Self { source: source.into(), form: Form::of(pieces) })
    }

    /// The same pattern for subjects in lower case, as actions are compared.
    pub(super) fn folded(source: &str) -> Self {
        let folded =
            Self::compile(&source.to_ascii_lowercase(), Wildcards::Special, Variables::Literal);
        // Without variables there is nothing that compiling could refuse.
        let form = folded.map_or_else(|_| Form::Exact(source.into()), |pattern| pattern.form);
        Self { source: source.into(), form }
    }

    /// As it was written.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn has_variables(&self) -> bool {
        matches!(&self.form, Form::Glob(pieces) if pieces.iter().any(|piece| matches!(piece, Piece::Variable { .. })))
    }

    /// Whether the pattern covers the whole of `subject`. A variable's value is literal text, wildcards in it included;
    /// a pattern with a variable that has no value matches nothing.
    pub(super) fn matches(&self, subject: &str, walls: ArnSegments, lookup: &impl Lookup) -> bool {
        match &self.form {
            Form::Any => true,
            Form::Exact(text) => **text == *subject,
            Form::Prefix(prefix) => match subject.strip_prefix(&**prefix) {
                Some(rest) => free(rest.as_bytes(), prefix.len(), walls),
                None => false,
            },
            Form::Glob(pieces) => {
                frames(pieces, subject)
                    && values(pieces, lookup)
                        .is_some_and(|values| glob(pieces, &values, subject.as_bytes(), walls))
            }
        }
    }

    /// The text that a pattern without wildcards stands for, or nothing if one of its variables has no value.
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

    /// The variables that have no value, as they were written.
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
                    "the default in \"${{{name}}}\" must stand in single quotes, as in \"${{{key}, 'text'}}\""
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
            "\"${{{name}}}\" names no condition key; write \"${{aws:username}}\" or alike, or \"${{$}}\" for a dollar sign"
        ));
    }
    Ok(Piece::Variable { key: key.to_ascii_lowercase().into(), default, slot })
}

/// The values of the variables among `pieces`, each in its slot.
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
    /// The text that the piece stands for; a wildcard stands for none.
    fn text<'a>(&'a self, values: &[&'a str; MAX_VARIABLES]) -> Option<&'a str> {
        match self {
            Piece::Text(text) => Some(text),
            Piece::Variable { slot, .. } => values.get(*slot).copied(),
            Piece::One | Piece::Many => None,
        }
    }
}

/// Whether no wall stands in `rest`, which begins at `start` of the subject.
fn free(rest: &[u8], start: usize, walls: ArnSegments) -> bool {
    start >= walls.0 || !rest.iter().zip(start..).any(|(byte, at)| walls.stands(at, *byte))
}

/// Whether the fixed text at the two ends of a pattern stands at the ends of the subject: what settles most mismatches,
/// before any variable is looked up.
fn frames(pieces: &[Piece], subject: &str) -> bool {
    let fits = |piece: Option<&Piece>, fits: fn(&str, &str) -> bool| !matches!(piece, Some(Piece::Text(text)) if !fits(subject, text));
    fits(pieces.first(), |subject, text| subject.starts_with(text))
        && fits(pieces.last(), |subject, text| subject.ends_with(text))
}

/// Matches greedily and, when stuck, lets the last star take more. Going back to the last star suffices: what an earlier
/// star could give away, the last one can reach as well.
fn glob(
    pieces: &[Piece],
    values: &[&str; MAX_VARIABLES],
    subject: &[u8],
    walls: ArnSegments,
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
                if piece + 1 == pieces.len() && free(rest, at, walls) {
                    return true;
                }
                Some(0)
            }
            Some(Piece::One) => one(subject, at, walls),
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
        // The star gives nothing back before the text after it can begin.
        let first = pieces
            .get(after)
            .and_then(|piece| piece.text(values))
            .and_then(|text| text.bytes().next());
        let Some(next) = skip(subject, from, first, walls) else {
            return false;
        };
        star = Some((after, next));
        (piece, at) = (after, next);
    }
}

/// The next place after `from` where `first` stands (anywhere, if that is nothing), if no wall is in between.
fn skip(subject: &[u8], mut from: usize, first: Option<u8>, walls: ArnSegments) -> Option<usize> {
    loop {
        from += one(subject, from, walls)?;
        if first.is_none_or(|first| subject.get(from) == Some(&first)) {
            return Some(from);
        }
    }
}

/// The width of the character that begins at `at`, if there is one and it is no wall.
fn one(subject: &[u8], at: usize, walls: ArnSegments) -> Option<usize> {
    let byte = *subject.get(at)?;
    let width = match byte {
        0..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xff => 4,
    };
    (!walls.stands(at, byte)).then_some(width)
}

#[cfg(test)]
mod tests;
