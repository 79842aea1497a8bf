//! Answers in XML, as the SDKs parse them.

use std::fmt::Display;

/// The inside of an element that is being written.
#[derive(Debug, Default)]
pub(crate) struct Xml {
    text: String,
}

impl Xml {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An element with text in it.
    pub(crate) fn leaf(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.text.extend(["<", name, ">"]);
        push_escaped(&mut self.text, &value.to_string());
        self.text.extend(["</", name, ">"]);
        self
    }

    /// The same, where there is a value.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.leaf(name, value);
        }
        self
    }

    /// An element with others in it.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.text.extend(["<", name, ">"]);
        inside(self);
        self.text.extend(["</", name, ">"]);
        self
    }

    /// A list: one element called `item` for each value, in one called `name`, which is there for an empty list too.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.element(name, |list| {
            for value in values {
                list.element(item, |inside| each(inside, value));
            }
        })
    }

    /// A list of texts.
    pub(crate) fn texts<T: Display>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
    ) -> &mut Self {
        self.element(name, |list| {
            for value in values {
                list.leaf(item, value);
            }
        })
    }

    /// What was written apart.
    pub(crate) fn nest(&mut self, inside: &Self) -> &mut Self {
        self.text.push_str(&inside.text);
        self
    }

    /// What was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Appends `text` with what XML 1.0 would read as markup escaped; characters that it has no way to write become U+FFFD.
fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(character),
            character if character.is_control() || matches!(character, '\u{fffe}' | '\u{ffff}') => {
                out.push('\u{fffd}')
            }
            character => out.push(character),
        }
    }
}
