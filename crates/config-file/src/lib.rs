//! Files that people write, TOML or JSON: everything has a place, and all mistakes are said at once, each with its own.
//!
//! [`read`] makes a tree of a text, [`Fields`] takes a table apart, and the [`Report`] collects what is wrong on the way.

mod fields;
mod mistake;
mod source;

pub use fields::{Fields, Spot, members, parse, string};
pub use mistake::locate;
pub use mistake::{Mistake, Mistakes, Place, Report};
pub use source::{MAX_SIZE, read};
