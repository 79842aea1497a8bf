//! Recognition of the few SQL statements that session trackers look for.

/// Strips a keyword and the white space after it. Returns `None` if `sql` does not start with both.
fn strip_keyword<'a>(sql: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = sql.split_at_checked(keyword.len())?;
    let trimmed = rest.trim_ascii_start();
    (head.eq_ignore_ascii_case(keyword) && trimmed.len() < rest.len()).then_some(trimmed)
}

/// Returns true for PostgreSQL's `DROP DATABASE`, `ALTER DATABASE` and `CREATE DATABASE`, which the
/// server rejects while other sessions use the database. A statement that starts with a comment is
/// not recognised.
pub(crate) fn is_exclusive_ddl(sql: &[u8]) -> bool {
    let sql = sql.trim_ascii_start();
    let verbs: [&[u8]; 3] = [b"DROP", b"ALTER", b"CREATE"];
    let object = verbs.iter().find_map(|verb| strip_keyword(sql, verb));
    object.is_some_and(|object| strip_keyword(object, b"DATABASE").is_some())
}

/// Returns the operand of MySQL's `KILL [HARD | SOFT] [CONNECTION | QUERY] …`.
pub(crate) fn kill_operand(sql: &[u8]) -> Option<&[u8]> {
    let mut rest = strip_keyword(skip_comments(sql)?, b"KILL")?;
    for options in [[b"HARD".as_slice(), b"SOFT"], [b"CONNECTION", b"QUERY"]] {
        rest = options.iter().find_map(|option| strip_keyword(rest, option)).unwrap_or(rest);
    }
    Some(rest)
}

/// Skips white space and comments in MySQL's syntax. Returns `None` at a comment that the server
/// executes (`/*!`), and if a comment has no end.
fn skip_comments(sql: &[u8]) -> Option<&[u8]> {
    let mut rest = sql.trim_ascii_start();
    loop {
        let after = if let Some(comment) = rest.strip_prefix(b"/*") {
            if comment.first() == Some(&b'!') || comment.starts_with(b"M!") {
                return None;
            }
            let end = comment.windows(2).position(|pair| pair == b"*/")?;
            comment.get(end + 2..)?
        } else if rest.starts_with(b"#") || rest.starts_with(b"-- ") {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            rest.get(end + 1..)?
        } else {
            return Some(rest);
        };
        rest = after.trim_ascii_start();
    }
}
