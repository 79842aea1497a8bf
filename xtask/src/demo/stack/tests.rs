use super::{reason, variable};

#[test]
fn exports_are_read_as_a_shell_would() {
    let read = |line| variable(line).unwrap();
    assert_eq!(read("export PGPORT='5432'"), ("PGPORT".to_owned(), "5432".to_owned()));
    assert_eq!(read(r"export PGUSER='it'\''s = me'"), ("PGUSER".to_owned(), "it's = me".to_owned()));
    assert_eq!(variable("export PGUSER=bare"), None);
    assert_eq!(variable("unset AWS_PROFILE"), None);
}

#[test]
fn the_server_s_own_words_are_shown() {
    let said = "psql: error: connection to server at \"localhost\", port 1 failed: FATAL:  no entry\nfor you";
    assert_eq!(reason(said), "FATAL: no entry for you");
    assert_eq!(reason("psql: error: no such host"), "psql: error: no such host");
}
