//! The IAM policy language, whole, and the decision that policies make.
//!
//! [`Policy::parse`] reads a document and refuses what can't be evaluated, every mistake at once and with its place.
//! [`decide`] takes a [`Request`] and a [`PolicySet`] and answers with a [`Permit`], which is a value that the next
//! step must hold, or with a [`Because`], whose sentence tells a person which statement stood in the way, or which came
//! nearest. [`explain`] says it of every statement; [`simulation`] reads and answers the same in JSON.
//!
//! ```
//! use countersign_core::policy::{Caller, Context, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide};
//!
//! let policy = Policy::parse(
//!     r#"{"Version": "2012-10-17", "Statement": {"Sid": "ConnectAsJane", "Effect": "Allow", "Action": "rds-db:connect",
//!         "Resource": "arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane"}}"#,
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
//! let Decision::Deny(because) = decide(&request, &policies) else { panic!("jane is not john") };
//! assert!(because.to_string().contains("its Resource arn:aws:rds-db:us-east-1:123456789012:dbuser:*/jane does not match"));
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
mod inquiry;
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
