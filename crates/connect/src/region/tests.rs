use countersign_core::failure::Class;

use super::{Origin, choose};

#[tokio::test]
async fn given_then_host_then_environment() {
    let tokyo = "ap-northeast-1".parse().unwrap();
    let rds = "db.abc.cn-north-1.rds.amazonaws.com.cn";
    let chosen = |given, host, environment| async move {
        choose(given, host, environment, None)
            .await
            .map(|(region, origin)| (region.to_string(), origin))
            .map_err(|failure| failure.class)
    };
    assert_eq!(
        chosen(Some(&tokyo), rds, Some("us-east-1")).await,
        Ok(("ap-northeast-1".to_owned(), Origin::Given))
    );
    assert_eq!(
        chosen(None, rds, Some("us-east-1")).await,
        Ok(("cn-north-1".to_owned(), Origin::HostName))
    );
    assert_eq!(
        chosen(None, "localhost", Some("us-east-1")).await,
        Ok(("us-east-1".to_owned(), Origin::Environment))
    );
    assert_eq!(chosen(None, "localhost", Some("nowhere")).await, Err(Class::Configuration));
}
