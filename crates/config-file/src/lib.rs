//! Configuration files in TOML or JSON: values with their locations, and all errors of a file
//! reported at once.
//!
//! [`read`] parses a text into a tree, [`Fields`] takes the fields of one table, and a
//! [`DiagnosticSink`] collects the errors.
//!
//! ```
//! use countersign_config_file::{DiagnosticSink, Fields, Location, read};
//!
//! let sink = DiagnosticSink::default();
//! let file = read("port = 70000\ncolour = \"red\"", &sink).unwrap();
//! let mut fields = Fields::of(&file, Location::root(&file), &sink).unwrap();
//! assert_eq!(fields.number("port", 1..=65535), None);
//! fields.finish();
//! let errors = sink.finish().unwrap_err();
//! assert_eq!(errors.as_slice().len(), 2);
//! assert_eq!(errors.as_slice()[1].path, "colour");
//! ```

mod diagnostics;
mod fields;
mod source;

pub use diagnostics::{DiagnosticSink, Location, locate};
pub use fields::{Fields, Spanned, members, parse, string};
pub use source::{MAX_SIZE, read};
