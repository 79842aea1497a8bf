use super::reason;

#[test]
fn the_server_s_own_words_are_shown() {
    let said = "psql: error: connection to server at \"localhost\", port 1 failed: FATAL:  no entry\nfor you";
    assert_eq!(reason(said), "FATAL: no entry for you");
    assert_eq!(
        reason("mysql: [Warning] of something\nERROR 1045 (28000): Access denied"),
        "ERROR 1045 (28000): Access denied"
    );
    assert_eq!(reason("psql: error: no such host"), "psql: error: no such host");
}
