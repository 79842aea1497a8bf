//! Sessions with tokens of any length. AWS's tokens have any length; the authority's own are short.

use std::path::Path;
use std::time::{Duration, SystemTime};

use countersign_authority::model::seconds;
use countersign_authority::session::{Session, Subject};
use countersign_authority::store::Store;
use countersign_core::credentials::Credentials;

/// Returns credentials of the IAM user `app` of the stack in `directory`: a session with a tag of
/// `padding` characters that no policy reads.
///
/// # Panics
/// If there is no such stack.
#[must_use]
pub fn padded_session(directory: &Path, padding: usize) -> Credentials {
    let store = Store::open(&directory.join("authority/state")).expect("the stack has a store");
    let state = store.state().expect("its state");
    let user = state.users.values().find(|user| user.name == "app").expect("the user app");
    let now = seconds(SystemTime::now());
    let session = Session {
        account: user.account.clone(),
        subject: Subject::User { name: user.name.clone() },
        unique_id: user.unique_id.clone(),
        issued: now,
        expires: now + Duration::from_secs(3600).as_secs(),
        policies: Vec::new(),
        policy_arns: Vec::new(),
        tags: Default::default(),
        transitive_tag_keys: Vec::new(),
        source_identity: None,
        context_keys: [("padding".to_owned(), "x".repeat(padding))].into(),
    };
    session.issue(store.sealing()).expect("a session")
}
