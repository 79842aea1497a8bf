use super::Expected;
use super::server::Login;
use super::stack::Decision;

fn login(client: Result<&str, &str>, decision: Option<(&str, Option<&str>)>) -> Login {
    let decision = decision.map(|(outcome, class)| Decision {
        outcome: outcome.to_owned(),
        class: class.map(str::to_owned),
        reason: "because".to_owned(),
    });
    Login { client: client.map(str::to_owned).map_err(str::to_owned), decision }
}

const DENIED: Result<&str, &str> = Err("ERROR 1045 (28000): Access denied");

#[test]
fn without_tls_the_authority_or_the_server_rejects() {
    let met = |client, decision| Expected::DeniedOrRequireSsl.is_met_by(&login(client, decision));
    assert!(met(DENIED, Some(("denied", Some("no-tls")))) && met(DENIED, Some(("allowed", None))));
    assert!(!met(DENIED, Some(("denied", Some("expired")))) && !met(DENIED, None));
    assert!(
        !met(Ok("ana"), Some(("allowed", None)))
            && !met(Err("ERROR 2026: TLS"), Some(("allowed", None)))
    );
}

#[test]
fn the_client_and_the_authority_must_agree() {
    let denied = Expected::Denied("expired");
    assert!(denied.is_met_by(&login(DENIED, Some(("denied", Some("expired"))))));
    assert!(!denied.is_met_by(&login(DENIED, Some(("denied", Some("wrong-user"))))));
    assert!(!denied.is_met_by(&login(Ok("ana"), Some(("denied", Some("expired"))))));
    assert!(!Expected::Allowed.is_met_by(&login(Ok("ana"), None)));
    assert!(!Expected::AcceptedByServer("").is_met_by(&login(Ok("ana"), Some(("allowed", None)))));
}
