//! The IAM policy language, and decisions by policies.
//!
//! [`Policy::parse`] reads a document and rejects input that cannot be evaluated, with all errors
//! and their positions. [`decide`] takes a [`Request`] and a [`PolicySet`] and returns a
//! [`Permit`], a value that the next step requires, or a [`DenyReason`], whose text names the
//! statement that denies or the one that almost allows. [`explain`] does so for every statement;
//! [`simulation`] reads and writes the same as JSON.
//!
//! ```
//! use countersign_core::policy::{
//!     Caller, Context, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide, explain,
//! };
//!
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {
//!         "Sid": "ConnectAsJane",
//!         "Effect": "Allow",
//!         "Action": "rds-db:connect",
//!         "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane"
//!     }}"#,
//!     PolicyKind::Identity,
//! )?;
//! let mut policies = PolicySet::new();
//! policies.add(Layer::Identity, policy)?;
//!
//! let caller: Caller = "arn:aws:iam::123456789012:user/jane".parse()?;
//! let request = Request {
//!     caller: &caller,
//!     action: &"rds-db:connect".parse()?,
//!     resource: "arn:aws:rds-db:us-east-1:123456789012:dbuser:db-ABCD/john",
//!     resource_account: None,
//!     context: &Context::new(),
//! };
//! let Decision::Deny(reason) = decide(&request, &policies) else { panic!("jane is not john") };
//! assert!(reason.to_string().contains(
//!     "its Resource arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane does not match"
//! ));
//! println!("{}", explain(&request, &policies));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod caller;
mod condition;
mod context;
mod decision;
mod document;
mod element;
mod evaluation;
mod explanation;
mod grammar;

mod matching;
mod near_miss;
mod operand;
mod pattern;
mod principals;
mod set;
pub mod simulation;

pub use caller::Caller;
pub use context::{Action, Context, ContextValue, Request};
pub use decision::{
    Cause, Decision, DenyReason, Mismatch, NearMiss, Permit, StatementName, Verdict,
};
pub use document::Policy;
pub use element::{Effect, PolicyKind};
pub use evaluation::{applying, decide};
pub use explanation::{Explanation, explain};
pub use set::{Layer, PolicySet, WrongKind};
