//! As much of SQL as has to be told apart.

/// What stands behind a word and the white space that ends it.
pub(crate) fn word<'a>(text: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(word.len())?;
    let trimmed = rest.trim_ascii_start();
    (head.eq_ignore_ascii_case(word) && trimmed.len() < rest.len()).then_some(trimmed)
}
