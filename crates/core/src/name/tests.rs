use super::{AccessKeyId, AccountId, DbUser, Engine, InstanceId, ResourceId};

#[test]
fn a_database_user_keeps_its_case_and_characters() {
    for user in ["jane_doe", "Jane.Doe+x@corp/eu west", "zoë", "*"] {
        assert_eq!(user.parse::<DbUser>().unwrap().as_str(), user);
    }
    for user in ["", "a\0b", &"x".repeat(256)] {
        assert!(user.parse::<DbUser>().is_err());
    }
}

#[test]
fn resource_ids_have_a_known_prefix() {
    for id in
        ["db-ABCDEFGHIJKL01234", "cluster-CO4FHMVXBQ2GE5HKDVSMR2DOPQ", "prx-0123456789abcdef0"]
    {
        assert!(id.parse::<ResourceId>().is_ok());
    }
    for id in ["db-", "orders", "db-a/b", "db-*", "DB-ABC"] {
        assert!(id.parse::<ResourceId>().is_err(), "{id}");
    }
}

#[test]
fn account_and_access_key_ids_are_validated() {
    assert!("123456789012".parse::<AccountId>().is_ok());
    assert!("12345678901".parse::<AccountId>().is_err());
    assert!("AKIAIOSFODNN7EXAMPLE".parse::<AccessKeyId>().is_ok());
    assert!("AKIA/../EXAMPLE12345".parse::<AccessKeyId>().is_err());
    assert!("orders-1".parse::<InstanceId>().is_ok());
    for id in ["1orders", "orders-", "or--ders", "", "a_b"] {
        assert!(id.parse::<InstanceId>().is_err(), "{id}");
    }
    assert_eq!("aurora-mysql".parse::<Engine>().unwrap(), Engine::Mysql);
}

#[test]
fn deserialization_validates() {
    assert!(
        serde_json::from_str::<AccountId>("\"1\"")
            .unwrap_err()
            .to_string()
            .contains("twelve digits")
    );
    assert_eq!(
        serde_json::to_string(&"123456789012".parse::<AccountId>().unwrap()).unwrap(),
        "\"123456789012\""
    );
}
