//! Tests of the RDS API over a connection. The servers echo; the end-to-end tests use real ones.

use countersign_authority::model::{Address, DbInstance, DbStatus, Instance};
use countersign_authority::store::StoreError;
use countersign_core::name::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::testing::{CREATE, RdsFixture};
use crate::api::Api;
use crate::testing::{ADMINISTRATOR, Served, account, text};

#[tokio::test]
async fn an_instance_is_created_changed_and_deleted() {
    let fixture = RdsFixture::new().await;
    let made = fixture.ok(CREATE).await;
    assert!(
        made.contains("<DBInstanceStatus>creating</DBInstanceStatus>")
            || made.contains("available"),
        "{made}"
    );
    assert!(!made.contains("hunter2"));
    let answer = fixture.wait_for_status("ORDERS", "available").await;
    assert_eq!(text(&answer, "EngineVersion"), "16.9");
    assert_eq!(text(&answer, "IAMDatabaseAuthenticationEnabled"), "true");
    let instance = fixture.instance("orders").unwrap();
    assert!(
        instance.iam_enabled && instance.resource_id.as_str() == text(&answer, "DbiResourceId")
    );
    assert_eq!(text(&answer, "Port"), instance.addresses[0].port.to_string());
    fixture.expect_error(CREATE, 400, "DBInstanceAlreadyExists").await;

    // Pending without ApplyImmediately; the next request with it applies it too.
    let switch = "Action=ModifyDBInstance&DBInstanceIdentifier=orders";
    let pending = fixture.ok(&format!("{switch}&EnableIAMDatabaseAuthentication=false")).await;
    assert!(
        text(&pending, "PendingModifiedValues").contains("<IAMDatabaseAuthenticationEnabled>false"),
        "{pending}"
    );
    assert!(fixture.instance("orders").unwrap().iam_enabled);
    fixture.ok(&format!("{switch}&ApplyImmediately=true&DeletionProtection=true")).await;
    assert!(!fixture.instance("orders").unwrap().iam_enabled);
    let secret = fixture.ok(&format!("{switch}&MasterUserPassword=correcthorse")).await;
    assert!(!secret.contains("correcthorse"));
    fixture.wait_for_status("orders", "available").await;
    assert_eq!(*fixture.echoes.passwords.lock().unwrap(), ["correcthorse"]);

    for (action, state) in [
        ("StopDBInstance", "stopped"),
        ("StartDBInstance", "available"),
        ("RebootDBInstance", "available"),
    ] {
        fixture.ok(&format!("Action={action}&DBInstanceIdentifier=orders")).await;
        fixture.wait_for_status("orders", state).await;
    }
    fixture
        .expect_error(
            "Action=StartDBInstance&DBInstanceIdentifier=orders",
            400,
            "InvalidDBInstanceState",
        )
        .await;
    let delete = "Action=DeleteDBInstance&DBInstanceIdentifier=orders";
    fixture.expect_error(delete, 400, "InvalidParameterCombination").await;
    fixture
        .expect_error(
            &format!("{delete}&SkipFinalSnapshot=true"),
            400,
            "InvalidParameterCombination",
        )
        .await;
    fixture.ok(&format!("{switch}&DeletionProtection=false")).await;
    let gone = fixture.ok(&format!("{delete}&SkipFinalSnapshot=true")).await;
    assert_eq!(text(&gone, "DBInstanceStatus"), "deleting");
    fixture.wait_for_status("orders", "DBInstanceNotFound").await;
    assert!(fixture.instance("orders").is_none());
}

#[tokio::test]
async fn invalid_requests_are_rejected_and_failed_jobs_record_the_reason() {
    let fixture = RdsFixture::new().await;
    for (from, to, code) in [
        ("postgres&", "oracle-ee&", "InvalidParameterValue"),
        ("EngineVersion=16", "EngineVersion=1", "InvalidParameterCombination"),
        ("EngineVersion=16", "MultiAZ=true", "InvalidParameterCombination"),
        ("EngineVersion=16", "KmsKeyId=x", "InvalidParameterCombination"),
        ("hunter2hunter2", "short", "InvalidParameterValue"),
        ("hunter2hunter2", "with%40sign", "InvalidParameterValue"),
        ("=orders", "=or--ders", "InvalidParameterValue"),
        ("=boss", "=rdsadmin", "InvalidParameterValue"),
        ("&DBInstanceClass=db.t3.micro", "", "MissingParameter"),
        ("postgres&", "aurora-postgresql&", "InvalidParameterCombination"),
    ] {
        fixture.expect_error(&CREATE.replacen(from, to, 1), 400, code).await;
    }
    fixture.ok(&CREATE.replace("=orders", "=broken")).await;
    assert!(fixture.wait_for_status("broken", "failed").await.contains("the disk is full"));
    fixture.ok("Action=DeleteDBInstance&DBInstanceIdentifier=broken&SkipFinalSnapshot=true").await;
    fixture.wait_for_status("broken", "DBInstanceNotFound").await;

    let red = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}}"#;
    let jane = fixture.served.user("jane", Some(red));
    let (status, answer) = fixture.served.call("rds", &jane, CREATE).await;
    let resource = "rds:CreateDBInstance on resource: arn:aws:rds:us-east-1:123456789012:db:orders";
    assert!(status == 403 && answer.contains(resource), "{answer}");
    let idle = Served::new().await;
    let admin = idle.user("admin", Some(ADMINISTRATOR));
    let (status, answer) = idle.call("rds", &admin, CREATE).await;
    assert!(status == 400 && answer.contains("runs no database servers"), "{answer}");
}

#[tokio::test]
async fn servers_not_created_by_the_api_are_listed() {
    let fixture = RdsFixture::new().await;
    let address = Address { host: "localhost".parse().unwrap(), port: 5432, resource_id: None };
    let instance = Instance {
        name: "postgres-1".parse().unwrap(),
        account: account(),
        resource_id: "db-ABC".parse().unwrap(),
        engine: Engine::Postgres,
        region: "us-east-1".parse().unwrap(),
        iam_enabled: true,
        addresses: vec![address],
    };
    fixture.served.api.store().put_instance(&instance).unwrap();
    let answer = fixture.wait_for_status("postgres-1", "available").await;
    assert!(
        text(&answer, "DbiResourceId") == "db-ABC" && text(&answer, "Port") == "5432",
        "{answer}"
    );
    let modify = "Action=ModifyDBInstance&DBInstanceIdentifier=postgres-1&EnableIAMDatabaseAuthentication=false";
    fixture.expect_error(modify, 400, "InvalidParameterCombination").await;
    fixture.ok(&format!("{modify}&ApplyImmediately=true")).await;
    assert!(!fixture.instance("postgres-1").unwrap().iam_enabled);
    fixture
        .expect_error(
            "Action=DeleteDBInstance&DBInstanceIdentifier=postgres-1&SkipFinalSnapshot=true",
            400,
            "InvalidDBInstanceState",
        )
        .await;
    fixture
        .expect_error(&CREATE.replace("=orders", "=Postgres-1"), 400, "DBInstanceAlreadyExists")
        .await;
}

/// Creates the cluster `shop` with the members `one` and `two`, which share its resource ID.
async fn cluster_with_two_members() -> RdsFixture {
    let fixture = RdsFixture::new().await;
    let cluster = "Action=CreateDBCluster&DBClusterIdentifier=shop&Engine=aurora-postgresql&MasterUsername=boss\
         &MasterUserPassword=hunter2hunter2&EnableIAMDatabaseAuthentication=true";
    let id = text(&fixture.ok(cluster).await, "DbClusterResourceId").to_owned();
    for name in ["one", "two"] {
        let member =
            "&Engine=aurora-postgresql&DBInstanceClass=db.r6g.large&DBClusterIdentifier=shop";
        fixture.ok(&format!("Action=CreateDBInstance&DBInstanceIdentifier={name}{member}")).await;
    }
    for name in ["one", "two"] {
        fixture.wait_for_status(name, "available").await;
        assert_eq!(fixture.instance(name).unwrap().resource_id.as_str(), id);
    }
    fixture
}

#[tokio::test]
async fn cluster_members_share_resource_id_and_iam_setting() {
    let fixture = cluster_with_two_members().await;
    let answer = fixture.ok("Action=DescribeDBClusters&DBClusterIdentifier=shop").await;
    assert_eq!(
        text(&answer, "Port"),
        fixture.instance("one").unwrap().addresses[0].port.to_string()
    );
    assert!(
        text(&answer, "ReaderEndpoint")
            .ends_with(&format!(":{}", fixture.instance("two").unwrap().addresses[0].port)),
        "{answer}"
    );
    fixture.ok("Action=ModifyDBCluster&DBClusterIdentifier=shop&EnableIAMDatabaseAuthentication=false&ApplyImmediately=true").await;
    assert!(
        !fixture.instance("one").unwrap().iam_enabled
            && !fixture.instance("two").unwrap().iam_enabled
    );
    let custom = "Action=CreateDBClusterEndpoint&DBClusterIdentifier=shop&DBClusterEndpointIdentifier=all&EndpointType=ANY";
    fixture.ok(custom).await;
    fixture.expect_error(custom, 400, "DBClusterEndpointAlreadyExistsFault").await;
}

#[tokio::test]
async fn members_are_stopped_with_their_cluster_and_deleted_before_it() {
    let fixture = cluster_with_two_members().await;
    fixture
        .expect_error(
            "Action=StopDBInstance&DBInstanceIdentifier=one",
            400,
            "InvalidDBClusterStateFault",
        )
        .await;
    fixture
        .expect_error(
            "Action=DeleteDBInstance&DBInstanceIdentifier=one",
            400,
            "InvalidDBInstanceState",
        )
        .await;
    fixture.ok("Action=StopDBCluster&DBClusterIdentifier=shop").await;
    fixture.wait_for_status("one", "stopped").await;
    fixture.wait_for_status("two", "stopped").await;
    assert_eq!(text(&fixture.ok("Action=DescribeDBClusters").await, "Status"), "stopped");
    fixture
        .expect_error(
            "Action=DeleteDBCluster&DBClusterIdentifier=shop&SkipFinalSnapshot=true",
            400,
            "InvalidDBClusterStateFault",
        )
        .await;
    for name in ["two", "one"] {
        fixture.ok(&format!("Action=DeleteDBInstance&DBInstanceIdentifier={name}")).await;
        fixture.wait_for_status(name, "DBInstanceNotFound").await;
    }
    fixture.ok("Action=DeleteDBCluster&DBClusterIdentifier=shop&SkipFinalSnapshot=true").await;
    fixture
        .expect_error(
            "Action=DescribeDBClusters&DBClusterIdentifier=shop",
            404,
            "DBClusterNotFoundFault",
        )
        .await;
    assert!(
        fixture
            .served
            .api
            .store()
            .state()
            .unwrap()
            .secrets
            .keys()
            .all(|name| !name.starts_with("rds/"))
    );
}

#[tokio::test]
async fn a_proxy_forwards_and_has_its_own_resource_id() {
    let fixture = RdsFixture::new().await;
    fixture.ok(CREATE).await;
    fixture.wait_for_status("orders", "available").await;
    let made = fixture
        .ok("Action=CreateDBProxy&DBProxyName=front&EngineFamily=POSTGRESQL&RoleArn=arn:aws:iam::123456789012:role/x&VpcSubnetIds.member.1=s&Auth.member.1.IAMAuth=REQUIRED")
        .await;
    let (_, id) = text(&made, "DBProxyArn").rsplit_once(':').unwrap();
    let target = "DBProxyName=front&DBInstanceIdentifiers.member.1=orders";
    fixture.ok(&format!("Action=RegisterDBProxyTargets&{target}")).await;
    fixture
        .expect_error(
            &format!("Action=RegisterDBProxyTargets&{target}"),
            400,
            "DBProxyTargetAlreadyRegisteredFault",
        )
        .await;
    let port: u16 = text(&made, "Endpoint").rsplit_once(':').unwrap().1.parse().unwrap();
    let through = |fixture: &RdsFixture| {
        let of = |at: &Address| {
            at.resource_id.as_ref().is_some_and(|id_of_address| id_of_address.as_str() == id)
                && at.port == port
        };
        fixture.instance("orders").unwrap().addresses.iter().filter(|at| of(at)).count()
    };
    assert_eq!(through(&fixture), 2);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    fixture.ok("Action=ModifyDBProxy&DBProxyName=front&Auth.member.1.IAMAuth=DISABLED").await;
    assert_eq!(through(&fixture), 0);
    fixture.ok("Action=DeleteDBProxy&DBProxyName=front").await;
    fixture
        .expect_error("Action=DescribeDBProxies&DBProxyName=front", 404, "DBProxyNotFoundFault")
        .await;
}

#[tokio::test]
async fn interrupted_transitions_are_resumed_after_a_restart() {
    let left = |api: &Api, name: &str, status| {
        let db: DbInstance = serde_json::from_value(serde_json::json!({
            "name": name, "account": account(), "region": "us-east-1",
            "resource_id": format!("db-{name}"), "engine": "postgres", "version": "16.9",
            "class": "db.t3.micro", "status": status, "created": 1, "master": "boss",
            "iam_enabled": false,
            "runner": if name == "elsewhere" { "there" } else { "here" },
        }))
        .unwrap();
        api.store()
            .change(|draft| draft.put(db.clone()).map(drop))
            .map_err(|error: StoreError| error)
            .unwrap();
    };
    let fixture = RdsFixture::with(|api| {
        for (name, status) in [
            ("half", DbStatus::Creating),
            ("ending", DbStatus::Deleting),
            ("elsewhere", DbStatus::Creating),
        ] {
            left(api, name, status);
        }
    });
    let fixture = fixture.await;
    fixture.wait_for_status("half", "failed").await;
    fixture.wait_for_status("ending", "DBInstanceNotFound").await;
    fixture.wait_for_status("elsewhere", "creating").await;
}

#[tokio::test]
async fn logs_tags_versions_and_pages() {
    let fixture = RdsFixture::new().await;
    fixture.ok(CREATE).await;
    fixture.wait_for_status("orders", "available").await;
    let log = "Action=DownloadDBLogFilePortion&DBInstanceIdentifier=orders&LogFileName=error/postgresql.log";
    assert_eq!(text(&fixture.ok(&format!("{log}&NumberOfLines=1")).await, "LogFileData"), "two\n");
    let first = fixture.ok(&format!("{log}&NumberOfLines=1&Marker=0")).await;
    assert!(
        text(&first, "LogFileData") == "one\n"
            && text(&first, "Marker") == "4"
            && text(&first, "AdditionalDataPending") == "true"
    );
    fixture
        .expect_error(&log.replace("postgresql.log", "passwd"), 404, "DBLogFileNotFoundFault")
        .await;

    let arn = "ResourceName=arn:aws:rds:us-east-1:123456789012:db:orders";
    fixture
        .ok(&format!("Action=AddTagsToResource&{arn}&Tags.Tag.1.Key=a&Tags.Tag.1.Value=b"))
        .await;
    fixture.ok(&format!("Action=RemoveTagsFromResource&{arn}&TagKeys.member.1=team")).await;
    let tags = fixture.ok(&format!("Action=ListTagsForResource&{arn}")).await;
    assert!(
        tags.contains("<Tag><Key>a</Key><Value>b</Value></Tag>") && !tags.contains("team"),
        "{tags}"
    );
    let versions =
        fixture.ok("Action=DescribeDBEngineVersions&Engine=postgres&DefaultOnly=true").await;
    assert!(versions.contains("16.9") && !versions.contains("15.18"));

    for number in 0..25 {
        fixture.ok(&CREATE.replace("=orders", &format!("=many-{number:02}"))).await;
        fixture.wait_for_status(&format!("many-{number:02}"), "available").await;
    }
    let page = fixture.ok("Action=DescribeDBInstances&MaxRecords=20").await;
    assert_eq!(page.matches("<DBInstance>").count(), 20);
    let rest = fixture
        .ok(&format!("Action=DescribeDBInstances&MaxRecords=20&Marker={}", text(&page, "Marker")))
        .await;
    assert!(rest.matches("<DBInstance>").count() == 6 && !rest.contains("<Marker>"));
    fixture
        .expect_error(
            "Action=DescribeDBInstances&Filters.Filter.1.Name=fish",
            400,
            "InvalidParameterValue",
        )
        .await;
    fixture
        .expect_error("Action=FailoverDBCluster&DBClusterIdentifier=x", 400, "InvalidAction")
        .await;
}
