use super::{Action, Context, ContextValue, ContextValueRef, Request};
use crate::policy::Caller;

#[test]
fn actions_are_a_service_and_a_name() {
    let action: Action = "RDS-DB:Connect".parse().unwrap();
    assert_eq!((action.as_str(), action.folded()), ("RDS-DB:Connect", "rds-db:connect"));
    for text in ["", "connect", ":connect", "rds-db:", "a:b:c", "rds-db: connect"] {
        assert!(text.parse::<Action>().is_err(), "{text:?}");
    }
}

#[test]
fn keys_are_case_insensitive() {
    let mut context = Context::new();
    assert_eq!(context.insert("aws:SourceIp", "10.0.0.1"), None);
    assert_eq!(
        context.insert("AWS:sourceip", "10.0.0.2"),
        Some(ContextValue::One("10.0.0.1".into()))
    );
    assert_eq!(context, [("aws:sourceIP", "10.0.0.2")].into_iter().collect());
}

#[test]
fn context_overrides_values_derived_from_the_caller() {
    let caller: Caller = "arn:aws:iam::123456789012:user/jane".parse().unwrap();
    let action = "s3:GetObject".parse().unwrap();
    let mut context = Context::new();
    let context_value = |context: &Context, resource: &str, key: &str| {
        let request =
            Request { caller: &caller, action: &action, resource, resource_account: None, context };
        request
            .context_value(key)
            .map(|value| value.values().map(str::to_owned).collect::<Vec<_>>())
    };
    let says = |text: &str| Some(vec![text.to_owned()]);
    assert_eq!(context_value(&context, "*", "aws:username"), says("jane"));
    assert_eq!(context_value(&context, "*", "aws:resourceaccount"), says("123456789012"));
    assert_eq!(
        context_value(&context, "arn:aws:sqs:eu-west-1:210987654321:q", "aws:resourceaccount"),
        says("210987654321")
    );
    assert_eq!(
        context_value(&context, "arn:aws:iam::aws:policy/ReadOnly", "aws:resourceaccount"),
        says("123456789012")
    );
    assert_eq!(context_value(&context, "*", "aws:sourceip"), None);
    context.insert("aws:UserName", "john");
    assert_eq!(context_value(&context, "*", "aws:username"), says("john"));
    assert_eq!(
        ContextValueRef::Many(&["a".into(), "b".into()]).values().collect::<Vec<_>>(),
        ["a", "b"]
    );
}
