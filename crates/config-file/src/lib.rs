//! Files that people write, TOML or JSON: everything has a place, and all mistakes are said at once, each with its own.
//!
//! [`read`] makes a tree of a text, [`Fields`] takes a table apart, and the [`Report`] collects what is wrong on the way.

mod diagnostics;
mod fields;
mod source;

pub use diagnostics::locate;
pub use diagnostics::{ConfigError, ConfigErrors, DiagnosticSink, Location};
pub use fields::{Fields, Spanned, members, parse, string};
pub use source::{MAX_SIZE, read};
