//! XML of responses.

use std::fmt::Display;

/// Content of an element.
#[derive(Debug, Default)]
pub(crate) struct Xml {
    text: String,
}

impl Xml {
    /// Creates empty content.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Appends an element that contains text.
    pub(crate) fn leaf(&mut self, name: &str, value: impl Display) -> &mut Self {
        self.text.extend(["<", name, ">"]);
        push_escaped(&mut self.text, &value.to_string());
        self.text.extend(["</", name, ">"]);
        self
    }

    /// Appends an element that contains text, if there is a value.
    pub(crate) fn optional_leaf(&mut self, name: &str, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            self.leaf(name, value);
        }
        self
    }

    /// Appends an element that contains elements.
    pub(crate) fn element(&mut self, name: &str, inside: impl FnOnce(&mut Self)) -> &mut Self {
        self.text.extend(["<", name, ">"]);
        inside(self);
        self.text.extend(["</", name, ">"]);
        self
    }

    /// Appends a list: an element `name`, present for an empty list too, with an element `item` for
    /// each value.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.element(name, |list| {
            for value in values {
                list.element(item, |content| write(content, value));
            }
        })
    }

    /// Appends a list of texts.
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

    /// Appends other content.
    pub(crate) fn nest(&mut self, content: &Self) -> &mut Self {
        self.text.push_str(&content.text);
        self
    }

    /// Returns the XML text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Appends `text` with markup characters escaped; characters that XML 1.0 cannot express become
/// U+FFFD.
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
