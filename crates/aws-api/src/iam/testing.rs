//! Fixtures of IAM's tests.

use countersign_core::credentials::Credentials;
use serde_json::json;

use crate::testing::{ADMINISTRATOR, Served, account, encoded};
pub(super) use crate::testing::{allow, assert_error};
use countersign_authority::model::{Group, User};
use countersign_authority::store::account_key;

pub(super) const ACCOUNT: &str = "arn:aws:iam::123456789012";
pub(super) const READ_ONLY: &str = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";

pub(super) fn trust() -> String {
    let principal = json!({"AWS": "123456789012"});
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"});
    json!({"Version": "2012-10-17", "Statement": [statement]}).to_string()
}

/// Returns a policy that allows the action on every resource if the condition holds.
pub(super) fn allow_if(action: &str, condition: &serde_json::Value) -> String {
    let statement = json!({
        "Effect": "Allow", "Action": action, "Resource": "*", "Condition": condition,
    });
    json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

/// API with an administrator.
pub(super) struct Iam {
    pub(super) served: Served,
    pub(super) admin: Credentials,
}

impl Iam {
    pub(super) async fn new() -> Self {
        let served = Served::new().await;
        let admin = served.user("admin", Some(ADMINISTRATOR));
        Self { served, admin }
    }

    pub(super) async fn call(
        &self,
        key: &Credentials,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> (u16, String) {
        let more: String =
            parameters.iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
        self.served.call("iam", key, &format!("Action={action}{more}")).await
    }

    pub(super) async fn ok(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let (status, answer) = self.call(&self.admin, action, parameters).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    }

    pub(super) async fn no(
        &self,
        action: &str,
        parameters: &[(&str, &str)],
        status: u16,
        code: &str,
    ) {
        assert_error(&self.call(&self.admin, action, parameters).await, status, code);
    }

    /// Returns true if the user may list roles, which shows the effect of policies.
    pub(super) async fn may_list(&self, key: &Credentials) -> bool {
        self.call(key, "ListRoles", &[]).await.0 == 200
    }

    pub(super) async fn role(&self, name: &str) {
        self.ok("CreateRole", &[("RoleName", name), ("AssumeRolePolicyDocument", &trust())]).await;
    }
}

/// Encodes by RFC 3986: a form would encode a space as a plus.
pub(super) fn encoded_as_iam(text: &str) -> String {
    encoded(text).replace('+', "%20").replace('*', "%2A")
}

/// Stores a group with a member.
pub(super) fn group(iam: &Iam, name: &str, member: &str) {
    let made = iam.served.api.store().change(|draft| {
        let user = draft.users.get(&account_key(account().as_str(), member)).unwrap().clone();
        draft.put(User { groups: [name.to_owned()].into(), ..User::clone(&user) })?;
        draft.put(Group {
            account: account(),
            path: "/".to_owned(),
            name: name.to_owned(),
            unique_id: "AGPAEXAMPLE".to_owned(),
            created: 0,
            inline: Default::default(),
            attached: Default::default(),
        })
    });
    made.map_err(|error: countersign_authority::store::StoreError| error).unwrap();
}
