//! Files of variables, as `docker --env-file` and shells read them: `NAME=VALUE` lines.

/// The variables in the order of the file; or what is wrong with a line, without its text: that may be a secret.
pub(super) fn read(text: &str) -> Result<Vec<(&str, &str)>, String> {
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else {
            return Err(format!("line {number} is not NAME=VALUE"));
        };
        variables.push((name.trim_end(), unquoted(value.trim())));
    }
    Ok(variables)
}

fn unquoted(text: &str) -> &str {
    let within = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(text)
}
