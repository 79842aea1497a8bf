use super::Arn;

fn parse_error(text: &str) -> String {
    text.parse::<Arn>().unwrap_err().to_string()
}

#[test]
fn an_arn_is_split_at_its_colons() {
    let arn: Arn =
        "arn:aws-cn:rds-db:cn-north-1:123456789012:dbuser:db-ABC/jane:doe".parse().unwrap();
    assert_eq!(arn.partition(), "aws-cn");
    assert_eq!(arn.service(), "rds-db");
    assert_eq!(arn.region(), "cn-north-1");
    assert_eq!(arn.account(), "123456789012");
    assert_eq!(arn.resource(), "dbuser:db-ABC/jane:doe");
}

#[test]
fn a_global_resource_has_neither_region_nor_account() {
    let arn: Arn = "arn:aws:s3:::bucket/key".parse().unwrap();
    assert_eq!((arn.region(), arn.account(), arn.resource()), ("", "", "bucket/key"));
}

#[test]
fn malformed_arns_are_rejected_with_the_reason() {
    assert!(parse_error("arn:aws:iam").contains("fewer than six parts"));
    assert!(parse_error("urn:aws:iam::123456789012:user/a").contains("does not begin with arn:"));
    assert!(parse_error("arn:aws:iam::12345:user/a").contains("not twelve digits"));
    assert!(parse_error("arn::iam::123456789012:user/a").contains("lacks"));
    assert!(parse_error("arn:aws:iam::123456789012:").contains("lacks"));
}
