use super::wrap;

#[test]
fn lines_break_between_words() {
    assert_eq!(wrap("one two  three", 7), ["one two", "three"]);
    assert_eq!(wrap("ünïcödé is six", 10), ["ünïcödé is", "six"]);
    assert_eq!(wrap("a-word-that-is-too-long for it", 8), ["a-word-that-is-too-long", "for it"]);
    assert!(wrap("", 8).is_empty());
}
