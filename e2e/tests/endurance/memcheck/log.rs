//! Parser of memcheck's XML report (protocol 4).
//!
//! <https://sourceware.org/git/?p=valgrind.git;a=blob;f=docs/internals/xml-output-protocol4.txt>

/// File name of the plugin.
const LIBRARY: &str = "mysql_countersign.so";

/// Part of the names of this project's functions, and of no other function of a server.
const CRATES: &str = "countersign";

/// Report of a complete run.
#[derive(Debug)]
pub struct Report {
    errors: Vec<String>,
}

impl Report {
    /// Parses a report.
    ///
    /// # Errors
    /// Returns the defect of a report that is truncated or not memcheck's: a truncated report may
    /// miss errors.
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

    /// Returns the number of errors and leaks in the whole server.
    pub fn records(&self) -> usize {
        self.errors.len()
    }

    /// Returns the errors with a frame of the plugin, or an unknown one, in one of their stacks,
    /// each as its kind and the functions of its stacks. Frames of an unloaded library are unknown
    /// if valgrind did not keep their names.
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

/// Returns the contents of the elements of this name, which are not nested.
fn elements<'a>(xml: &'a str, name: &str) -> Vec<&'a str> {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&begin).skip(1).filter_map(|rest| Some(rest.split_once(&end)?.0)).collect()
}

#[cfg(test)]
mod tests;
