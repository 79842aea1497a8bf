use std::time::SystemTime;

use super::AuditRecord;
use crate::failure::{AuditOutcome, Class};
use crate::name::Engine;

fn record(class: Option<Class>) -> AuditRecord {
    let mut record = AuditRecord::pending(
        SystemTime::UNIX_EPOCH,
        Engine::Postgres,
        "orders".parse().unwrap(),
        "jane".parse().unwrap(),
    );
    record.outcome = class.map_or(AuditOutcome::Allowed, Class::outcome);
    record.class = class;
    record.principal = Some("arn:aws:iam::123456789012:user/jane".parse().unwrap());
    record
}

#[test]
fn denials_have_the_text_of_rds() {
    let line = |class| record(Some(class)).rds_line().unwrap();
    assert_eq!(
        line(Class::SignatureMismatch),
        "[ERROR] Failed to authenticate the connection request for user jane because the provided \
         token is malformed or otherwise invalid. \
         (Status Code: 400, Error Code: InvalidToken)"
    );
    assert_eq!(
        line(Class::Expired),
        "[ERROR] Failed to authenticate the connection request for user jane because the token \
         age is longer than 15 minutes. \
         (Status Code: 400, Error Code:ExpiredToken)"
    );
    assert_eq!(
        line(Class::NotAllowed),
        "[ERROR] Failed to authorize the connection request for user jane because the IAM policy \
         assumed by the caller \
         'arn:aws:iam::123456789012:user/jane' is not authorized to perform `rds-db:connect` on \
         the DB instance. \
         (Status Code: 403, Error Code:NotAuthorized)"
    );
    assert_eq!(
        line(Class::Throttled),
        "[ERROR] Failed to authenticate the connection request for user jane due to IAM DB \
         authentication throttling. \
         (Status Code: 429, Error Code: ThrottlingException)"
    );
    assert_eq!(
        line(Class::Internal),
        "[ERROR] Failed to authenticate the connection request for user jane due to an internal \
         IAM DB authentication error. \
         (Status Code: 500, Error Code: InternalError)"
    );
    assert_eq!(record(None).rds_line(), None);
}

#[test]
fn control_characters_in_a_user_name_cannot_forge_a_log_line() {
    let mut record = record(Some(Class::Expired));
    record.user = "jane\n[ERROR] forged".parse().unwrap();
    assert_eq!(record.rds_line().unwrap().lines().count(), 1);
    assert_eq!(serde_json::to_string(&record).unwrap().lines().count(), 1);
}

#[test]
fn audit_record_is_versioned_json() {
    insta::assert_json_snapshot!(record(Some(Class::Expired)), @r#"
    {
      "version": 1,
      "time": "1970-01-01T00:00:00.000Z",
      "outcome": "denied",
      "class": "expired",
      "reason": "the decision was abandoned",
      "engine": "postgres",
      "instance": "orders",
      "user": "jane",
      "principal": "arn:aws:iam::123456789012:user/jane"
    }
    "#);
}
