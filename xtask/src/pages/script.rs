//! Pages of documentation as shell scripts: line N of the script comes from line N of the page.

/// Terminator of the here-documents that write files.
const END_OF_FILE: &str = "__END_OF_FILE__";

/// Languages of blocks that hold commands.
const SHELL: [&str; 2] = ["sh", "console"];

/// Shell functions that report the progress of a page on file descriptor 3.
///
/// `__block` begins a block; `__expect` announces the exit status of the next command. The trap
/// ends the script at the first command with another status, as `bash -e` would.
pub(super) const PRELUDE: &str = r#"
exec 3>&1 </dev/null
__status=0 __line=0
__block() { printf '\036block %s\n' "$1" >&3; }
__expect() { __settle; __line=$1 __status=$2; }
__settle() { [ "$__status" = 0 ] || __fail 0 "$__line" "exit status $__status was expected"; }
__error() { if [ "$1" = "$__status" ]; then __status=0; else __fail "$@"; fi; }
__fail() { printf '\036failed %s %s %s\n' "$1" "$2" "$3" >&3; exit 1; }
trap '__error $? $LINENO "$BASH_COMMAND"' ERR
"#;

/// Page of documentation whose blocks can be run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Script {
    /// Lines of the script.
    pub(super) lines: Vec<String>,
    /// Lines of the page at which the blocks that run begin, counted from 1.
    pub(super) blocks: Vec<usize>,
    /// Lines at which blocks begin that do not run, and the reasons.
    pub(super) skipped: Vec<(usize, String)>,
}

/// Block of a page between its fences.
struct Block<'a> {
    language: &'a str,
    lines: Vec<&'a str>,
}

impl Script {
    /// Converts a page. Commands are the lines of `sh` blocks, and those of `console` blocks that
    /// begin with `$ `; a block of another language runs if its first line names the file to write.
    pub(super) fn parse(page: &str) -> Self {
        let lines: Vec<&str> = page.lines().collect();
        let mut script = Self::default();
        while let Some(line) = lines.get(script.lines.len()) {
            let start = script.lines.len();
            let Some(language) = line.trim_start().strip_prefix("```") else {
                script.lines.push(String::new());
                continue;
            };
            let indentation = line.len() - line.trim_start().len();
            let body = lines.get(start + 1..).unwrap_or_default();
            let body = body.iter().take_while(|line| line.trim() != "```");
            let block = Block {
                language: language.trim(),
                lines: body.map(|line| without_indentation(line, indentation)).collect(),
            };
            script.add(start, &block, skip_reason(lines.get(..start).unwrap_or_default()));
        }
        script
    }

    /// Adds a block with both of its fences.
    fn add(&mut self, start: usize, block: &Block<'_>, skip: Option<&str>) {
        let number = start + 1;
        let is_shell = SHELL.contains(&block.language);
        let file = block.lines.first().and_then(|line| file_name(line));
        if let (Some(reason), true) = (skip, is_shell || file.is_some()) {
            self.skipped.push((number, reason.to_owned()));
        }
        if skip.is_some() || !(is_shell || file.is_some()) {
            self.lines.extend(std::iter::repeat_n(String::new(), block.lines.len() + 2));
            return;
        }
        self.blocks.push(number);
        self.lines.push(format!("__block {number}"));
        let end = if let Some(file) = file {
            self.lines
                .push(format!("mkdir -p \"$(dirname {file})\"; cat > {file} <<'{END_OF_FILE}'"));
            self.lines.extend(block.lines.iter().skip(1).map(|line| (*line).to_owned()));
            END_OF_FILE
        } else {
            let commands = match block.language {
                "console" => commands(&block.lines),
                _ => block.lines.iter().map(|line| (*line).to_owned()).collect(),
            };
            self.lines.extend(with_expected_statuses(commands, number + 1));
            "__settle"
        };
        self.lines.push(end.to_owned());
    }
}

fn without_indentation(line: &str, indentation: usize) -> &str {
    let blank = line.bytes().take(indentation).take_while(u8::is_ascii_whitespace).count();
    line.get(blank..).unwrap_or(line)
}

/// Reads `<!-- not run: REASON -->` on the last of these lines.
fn skip_reason<'a>(before: &[&'a str]) -> Option<&'a str> {
    let comment = before.last()?.trim().strip_prefix("<!-- not run:")?;
    Some(comment.trim_end_matches("-->").trim())
}

/// Reads `# file: NAME` or `-- file: NAME`. The name is relative, of letters, digits and `._/-`.
fn file_name(line: &str) -> Option<&str> {
    let name = line.strip_prefix("# file: ").or_else(|| line.strip_prefix("-- file: "))?.trim();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    let is_relative = !name.starts_with(['/', '-']) && !name.split('/').any(|part| part == "..");
    (!name.is_empty() && name.chars().all(is_plain) && is_relative).then_some(name)
}

/// Leaves the commands of a transcript; the output becomes blank lines.
fn commands(lines: &[&str]) -> Vec<String> {
    let mut commands = Vec::new();
    let mut continues = false;
    let mut here_document: Option<String> = None;
    for line in lines {
        if let Some(end) = &here_document {
            if line.trim_start_matches('\t') == end {
                here_document = None;
            }
            commands.push((*line).to_owned());
            continue;
        }
        let command = if continues {
            Some(line.strip_prefix("> ").unwrap_or(line))
        } else {
            line.strip_prefix("$ ")
        };
        continues = command.is_some_and(|command| command.ends_with('\\'));
        here_document = command.and_then(here_document_end);
        commands.push(command.unwrap_or_default().to_owned());
    }
    commands
}

/// Returns the word that ends the here-document which a command begins.
fn here_document_end(command: &str) -> Option<String> {
    let (_, redirection) = command.split_once("<<")?;
    let word = redirection.trim_start_matches('-').trim_start();
    if word.starts_with('<') {
        return None;
    }
    let word = word.trim_start_matches(['\'', '"']);
    if !word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return None;
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
    word.get(..end).map(str::to_owned)
}

/// Announces the exit status of each command that ends with the comment `# exit status N`.
fn with_expected_statuses(mut commands: Vec<String>, first: usize) -> Vec<String> {
    for index in 0..commands.len() {
        let Some(status) = commands.get(index).and_then(|line| expected_status(line)) else {
            continue;
        };
        let continues = |line: usize| commands.get(line).is_some_and(|line| line.ends_with('\\'));
        let start = (0..index).rev().take_while(|line| continues(*line)).last().unwrap_or(index);
        if let Some(line) = commands.get_mut(start) {
            line.insert_str(0, &format!("__expect {} {status}; ", first + start));
        }
    }
    commands
}

fn expected_status(line: &str) -> Option<u8> {
    let (_, status) = line.rsplit_once("# exit status ")?;
    status.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_script_are_lines_of_the_page() {
        let page =
            "Text\n```sh\nexport A=1\nfalse # exit status 1\n```\n```text\nno command\n```\n";
        let script = Script::parse(page);
        assert_eq!(
            script.lines,
            [
                "",
                "__block 2",
                "export A=1",
                "__expect 4 1; false # exit status 1",
                "__settle",
                "",
                "",
                ""
            ]
        );
        assert_eq!(script.blocks, [2]);
    }

    #[test]
    fn of_a_transcript_the_commands_are_run() {
        let page = "```console\n$ cat > f <<'EOF'\n$ x\nEOF\n$ a \\\n    b  # exit status 3\n\
                    output\n```\n";
        let script = Script::parse(page);
        assert_eq!(
            script.lines,
            [
                "__block 1",
                "cat > f <<'EOF'",
                "$ x",
                "EOF",
                "__expect 5 3; a \\",
                "    b  # exit status 3",
                "",
                "__settle"
            ]
        );
    }

    #[test]
    fn blocks_that_name_a_file_write_it() {
        let page = "- item:\n  ```toml\n  # file: conf/a.toml\n  [a]\n    b = 1\n  ```\n";
        let script = Script::parse(page);
        assert_eq!(
            script.lines,
            [
                "",
                "__block 2",
                "mkdir -p \"$(dirname conf/a.toml)\"; cat > conf/a.toml <<'__END_OF_FILE__'",
                "[a]",
                "  b = 1",
                "__END_OF_FILE__"
            ]
        );
        let elsewhere = Script::parse("```toml\n# file: ../a\n```\n```toml\n# file: /a\n```\n");
        assert!(elsewhere.blocks.is_empty());
    }

    #[test]
    fn blocks_that_are_not_run_give_their_reason() {
        let page =
            "<!-- not run: needs AWS -->\n```sh\naws\n```\n<!-- not run: x -->\n```text\n```\n";
        let script = Script::parse(page);
        assert_eq!(script.skipped, [(2, "needs AWS".to_owned())]);
        assert!(script.blocks.is_empty() && script.lines.iter().all(String::is_empty));
        assert_eq!(script.lines.len(), 7);
    }

    #[test]
    fn here_strings_are_no_here_documents() {
        assert_eq!(here_document_end("cat <<< word"), None);
        assert_eq!(here_document_end("cat <<-\"END\" | wc"), Some("END".to_owned()));
        assert_eq!(here_document_end("echo $((1 << 2))"), None);
    }
}
