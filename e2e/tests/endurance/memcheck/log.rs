//! What memcheck reports, in its XML (protocol 4).
//!
//! <https://sourceware.org/git/?p=valgrind.git;a=blob;f=docs/internals/xml-output-protocol4.txt>

/// The library's file.
const LIBRARY: &str = "mysql_countersign.so";

/// What the names of functions of ours have in them, and of nothing else in a server.
const CRATES: &str = "countersign";

/// All of a run that came to its end.
#[derive(Debug)]
pub struct Report {
    errors: Vec<String>,
}

impl Report {
    /// Reads a report.
    ///
    /// # Errors
    /// What is wrong with it: one that stops half way tells nothing of what was not looked at.
    pub fn parse(xml: &str) -> Result<Self, &'static str> {
        if !xml.trim_end().ends_with("</valgrindoutput>")
            || !xml.contains("<state>FINISHED</state>")
        {
            return Err("ends before the server did");
        }
        if !xml.contains("<tool>memcheck</tool>") || !xml.contains("<errorcounts>") {
            return Err("is not one of memcheck's");
        }
        let errors = elements(xml, "error").into_iter().map(str::to_owned).collect();
        Ok(Self { errors })
    }

    /// How many errors and leaks there are in the whole server.
    pub fn records(&self) -> usize {
        self.errors.len()
    }

    /// Those that have a place of ours in one of their stacks, or one that nobody knows: what is unloaded has no name, if
    /// valgrind did not keep it. Each by its kind and the functions of its stacks.
    pub fn ours(&self) -> Vec<String> {
        let ours =
            self.errors.iter().filter(|error| elements(error, "frame").into_iter().any(is_ours));
        let told =
            |error: &String| [elements(error, "kind"), elements(error, "fn")].concat().join("\n  ");
        ours.map(told).collect()
    }
}

fn is_ours(frame: &str) -> bool {
    let [object, function] = ["obj", "fn"].map(|name| elements(frame, name).first().copied());
    match (object, function) {
        (None, None) => true,
        (object, function) => {
            object.is_some_and(|object| object.ends_with(LIBRARY))
                || function.is_some_and(|name| name.contains(CRATES))
        }
    }
}

/// The contents of the elements of this name; none lies in another of the same.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&begin).skip(1).filter_map(|rest| Some(rest.split_once(&end)?.0)).collect()
}

#[cfg(test)]
mod tests;
