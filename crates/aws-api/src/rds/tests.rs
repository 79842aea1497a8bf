//! The RDS API over a real connection. Its servers are listeners that echo: the real ones are tried end to end.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{Engine, InstanceId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::Api;
use crate::testing::{ADMINISTRATOR, Served, account, text};
use countersign_authority::model::{Address, DbInstance, DbStatus, Instance};
use countersign_authority::servers::{
    EngineVersion, LogFile, NewServer, RunningServer, ServerDescription, Servers, ServersError,
};
use countersign_authority::store::StoreError;

/// Listeners by the names of their instances.
#[derive(Debug, Default)]
struct Echoes {
    ports: Mutex<BTreeMap<InstanceId, u16>>,
    passwords: Mutex<Vec<String>>,
}

impl Echoes {
    fn running(&self, name: &InstanceId) -> Result<RunningServer, ServersError> {
        let port = *self
            .ports
            .lock()
            .unwrap()
            .get(name)
            .ok_or_else(|| ServersError::InstanceNotFound(name.clone()))?;
        let hosts = ["localhost", "127.0.0.1"].map(|host| host.parse().unwrap()).to_vec();
        Ok(RunningServer {
            hosts,
            host: "127.0.0.1".parse().unwrap(),
            port,
            version: "16.9".to_owned(),
        })
    }
}

impl Servers for Echoes {
    fn versions(&self) -> Result<Vec<EngineVersion>, ServersError> {
        let of = |engine, version: &str| EngineVersion { engine, version: version.to_owned() };
        Ok(vec![
            of(Engine::Postgres, "16.9"),
            of(Engine::Postgres, "15.18"),
            of(Engine::Mysql, "8.0.43"),
        ])
    }

    fn create(&self, server: &NewServer) -> Result<RunningServer, ServersError> {
        if server.instance.as_str() == "broken" {
            return Err(ServersError::Failed("the disk is full".to_owned()));
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.ports
            .lock()
            .unwrap()
            .insert(server.instance.clone(), listener.local_addr().unwrap().port());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut heard = [0; 4];
                let _hung_up =
                    stream.read_exact(&mut heard).and_then(|()| stream.write_all(&heard));
            }
        });
        self.running(&server.instance)
    }

    fn describe(&self, instance: &InstanceId) -> Result<ServerDescription, ServersError> {
        Ok(ServerDescription {
            started: true,
            running: self.running(instance)?,
            database: String::new(),
            user: String::new(),
        })
    }

    fn start(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        self.running(instance)
    }

    fn stop(&self, instance: &InstanceId) -> Result<(), ServersError> {
        self.running(instance).map(drop)
    }

    fn reboot(&self, instance: &InstanceId) -> Result<RunningServer, ServersError> {
        self.running(instance)
    }

    fn delete(&self, instance: &InstanceId) -> Result<(), ServersError> {
        self.ports
            .lock()
            .unwrap()
            .remove(instance)
            .map(drop)
            .ok_or_else(|| ServersError::InstanceNotFound(instance.clone()))
    }

    fn set_master_password(
        &self,
        _: &InstanceId,
        _: &str,
        password: &Secret,
    ) -> Result<(), ServersError> {
        self.passwords.lock().unwrap().push(password.expose().to_owned());
        Ok(())
    }

    fn promote(&self, instance: &InstanceId) -> Result<(), ServersError> {
        self.running(instance).map(drop)
    }

    fn logs(&self, _: &InstanceId) -> Result<Vec<LogFile>, ServersError> {
        Ok(vec![LogFile {
            name: "error/postgresql.log".to_owned(),
            size: 8,
            last_written: std::time::SystemTime::UNIX_EPOCH,
        }])
    }

    fn read_log(
        &self,
        _: &InstanceId,
        _: &str,
        offset: u64,
        _: u64,
    ) -> Result<Vec<u8>, ServersError> {
        Ok(b"one\ntwo\n".get(usize::try_from(offset).unwrap()..).unwrap_or_default().to_vec())
    }
}

struct World {
    served: Served,
    admin: Credentials,
    echoes: Arc<Echoes>,
}

const CREATE: &str = "Action=CreateDBInstance&DBInstanceIdentifier=orders&Engine=postgres&EngineVersion=16&DBInstanceClass=db.t3.micro\
     &MasterUsername=boss&MasterUserPassword=hunter2hunter2&EnableIAMDatabaseAuthentication=true&Tags.Tag.1.Key=team&Tags.Tag.1.Value=red";

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// With what was in the store when the authority started.
    async fn with(before: impl FnOnce(&Api)) -> Self {
        let echoes = Arc::new(Echoes::default());
        let servers: Arc<dyn Servers> = Arc::<Echoes>::clone(&echoes);
        let served = Served::adjusted(|api| {
            before(&api);
            let api = api.running(servers, "here".to_owned(), None);
            crate::rds::recovery::recover(&api.jobs);
            api
        });
        let served = served.await;
        let admin = served.user("admin", Some(ADMINISTRATOR));
        Self { served, admin, echoes }
    }

    async fn ask(&self, form: &str) -> (u16, String) {
        self.served.call("rds", &self.admin, form).await
    }

    async fn good(&self, form: &str) -> String {
        let (status, answer) = self.ask(form).await;
        assert_eq!(status, 200, "{form}: {answer}");
        answer
    }

    async fn refused(&self, form: &str, status: u16, code: &str) {
        let answer = self.ask(form).await;
        assert!(
            answer.0 == status && answer.1.contains(&format!("<Code>{code}</Code>")),
            "{form}: wanted {status} {code}: {answer:?}"
        );
    }

    /// Waits until an instance is in a state.
    async fn until(&self, name: &str, wanted: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, answer) =
                self.ask(&format!("Action=DescribeDBInstances&DBInstanceIdentifier={name}")).await;
            let now = if status == 200 {
                text(&answer, "DBInstanceStatus")
            } else {
                text(&answer, "Code")
            };
            if now == wanted {
                return answer;
            }
            assert!(Instant::now() < deadline, "{name} is {now}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn instance(&self, name: &str) -> Option<Arc<Instance>> {
        self.served.api.store().instance(&name.parse().unwrap()).unwrap()
    }
}

#[tokio::test]
async fn an_instance_is_created_changed_and_deleted() {
    let world = World::new().await;
    let made = world.good(CREATE).await;
    assert!(
        made.contains("<DBInstanceStatus>creating</DBInstanceStatus>")
            || made.contains("available"),
        "{made}"
    );
    assert!(!made.contains("hunter2"));
    let answer = world.until("ORDERS", "available").await;
    assert_eq!(text(&answer, "EngineVersion"), "16.9");
    assert_eq!(text(&answer, "IAMDatabaseAuthenticationEnabled"), "true");
    let instance = world.instance("orders").unwrap();
    assert!(
        instance.iam_enabled && instance.resource_id.as_str() == text(&answer, "DbiResourceId")
    );
    assert_eq!(text(&answer, "Port"), instance.addresses[0].port.to_string());
    world.refused(CREATE, 400, "DBInstanceAlreadyExists").await;

    // Without ApplyImmediately it waits; the next request with it takes it along.
    let switch = "Action=ModifyDBInstance&DBInstanceIdentifier=orders";
    let pending = world.good(&format!("{switch}&EnableIAMDatabaseAuthentication=false")).await;
    assert!(
        text(&pending, "PendingModifiedValues").contains("<IAMDatabaseAuthenticationEnabled>false"),
        "{pending}"
    );
    assert!(world.instance("orders").unwrap().iam_enabled);
    world.good(&format!("{switch}&ApplyImmediately=true&DeletionProtection=true")).await;
    assert!(!world.instance("orders").unwrap().iam_enabled);
    let secret = world.good(&format!("{switch}&MasterUserPassword=correcthorse")).await;
    assert!(!secret.contains("correcthorse"));
    world.until("orders", "available").await;
    assert_eq!(*world.echoes.passwords.lock().unwrap(), ["correcthorse"]);

    for (action, state) in [
        ("StopDBInstance", "stopped"),
        ("StartDBInstance", "available"),
        ("RebootDBInstance", "available"),
    ] {
        world.good(&format!("Action={action}&DBInstanceIdentifier=orders")).await;
        world.until("orders", state).await;
    }
    world
        .refused(
            "Action=StartDBInstance&DBInstanceIdentifier=orders",
            400,
            "InvalidDBInstanceState",
        )
        .await;
    let delete = "Action=DeleteDBInstance&DBInstanceIdentifier=orders";
    world.refused(delete, 400, "InvalidParameterCombination").await;
    world
        .refused(&format!("{delete}&SkipFinalSnapshot=true"), 400, "InvalidParameterCombination")
        .await;
    world.good(&format!("{switch}&DeletionProtection=false")).await;
    let gone = world.good(&format!("{delete}&SkipFinalSnapshot=true")).await;
    assert_eq!(text(&gone, "DBInstanceStatus"), "deleting");
    world.until("orders", "DBInstanceNotFound").await;
    assert!(world.instance("orders").is_none());
}

#[tokio::test]
async fn invalid_requests_are_rejected_and_failed_jobs_record_the_reason() {
    let world = World::new().await;
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
        world.refused(&CREATE.replacen(from, to, 1), 400, code).await;
    }
    world.good(&CREATE.replace("=orders", "=broken")).await;
    assert!(world.until("broken", "failed").await.contains("the disk is full"));
    world.good("Action=DeleteDBInstance&DBInstanceIdentifier=broken&SkipFinalSnapshot=true").await;
    world.until("broken", "DBInstanceNotFound").await;

    let red = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"rds:*","Resource":"*",
        "Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}}"#;
    let jane = world.served.user("jane", Some(red));
    let (status, answer) = world.served.call("rds", &jane, CREATE).await;
    let resource = "rds:CreateDBInstance on resource: arn:aws:rds:us-east-1:123456789012:db:orders";
    assert!(status == 403 && answer.contains(resource), "{answer}");
    let idle = Served::new().await;
    let admin = idle.user("admin", Some(ADMINISTRATOR));
    let (status, answer) = idle.call("rds", &admin, CREATE).await;
    assert!(status == 400 && answer.contains("runs no database servers"), "{answer}");
}

#[tokio::test]
async fn servers_not_created_by_the_api_are_listed() {
    let world = World::new().await;
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
    world.served.api.store().put_instance(&instance).unwrap();
    let answer = world.until("postgres-1", "available").await;
    assert!(
        text(&answer, "DbiResourceId") == "db-ABC" && text(&answer, "Port") == "5432",
        "{answer}"
    );
    let modify = "Action=ModifyDBInstance&DBInstanceIdentifier=postgres-1&EnableIAMDatabaseAuthentication=false";
    world.refused(modify, 400, "InvalidParameterCombination").await;
    world.good(&format!("{modify}&ApplyImmediately=true")).await;
    assert!(!world.instance("postgres-1").unwrap().iam_enabled);
    world
        .refused(
            "Action=DeleteDBInstance&DBInstanceIdentifier=postgres-1&SkipFinalSnapshot=true",
            400,
            "InvalidDBInstanceState",
        )
        .await;
    world.refused(&CREATE.replace("=orders", "=Postgres-1"), 400, "DBInstanceAlreadyExists").await;
}

#[tokio::test]
async fn cluster_members_share_resource_id_and_iam_setting() {
    let world = World::new().await;
    let cluster = "Action=CreateDBCluster&DBClusterIdentifier=shop&Engine=aurora-postgresql&MasterUsername=boss\
         &MasterUserPassword=hunter2hunter2&EnableIAMDatabaseAuthentication=true";
    let id = text(&world.good(cluster).await, "DbClusterResourceId").to_owned();
    for name in ["one", "two"] {
        let member =
            "&Engine=aurora-postgresql&DBInstanceClass=db.r6g.large&DBClusterIdentifier=shop";
        world.good(&format!("Action=CreateDBInstance&DBInstanceIdentifier={name}{member}")).await;
    }
    for name in ["one", "two"] {
        world.until(name, "available").await;
        assert_eq!(world.instance(name).unwrap().resource_id.as_str(), id);
    }
    let answer = world.good("Action=DescribeDBClusters&DBClusterIdentifier=shop").await;
    assert_eq!(text(&answer, "Port"), world.instance("one").unwrap().addresses[0].port.to_string());
    assert!(
        text(&answer, "ReaderEndpoint")
            .ends_with(&format!(":{}", world.instance("two").unwrap().addresses[0].port)),
        "{answer}"
    );
    world.good("Action=ModifyDBCluster&DBClusterIdentifier=shop&EnableIAMDatabaseAuthentication=false&ApplyImmediately=true").await;
    assert!(
        !world.instance("one").unwrap().iam_enabled && !world.instance("two").unwrap().iam_enabled
    );
    let custom = "Action=CreateDBClusterEndpoint&DBClusterIdentifier=shop&DBClusterEndpointIdentifier=all&EndpointType=ANY";
    world.good(custom).await;
    world.refused(custom, 400, "DBClusterEndpointAlreadyExistsFault").await;
    world
        .refused(
            "Action=StopDBInstance&DBInstanceIdentifier=one",
            400,
            "InvalidDBClusterStateFault",
        )
        .await;
    world
        .refused("Action=DeleteDBInstance&DBInstanceIdentifier=one", 400, "InvalidDBInstanceState")
        .await;
    world.good("Action=StopDBCluster&DBClusterIdentifier=shop").await;
    world.until("one", "stopped").await;
    world.until("two", "stopped").await;
    assert_eq!(text(&world.good("Action=DescribeDBClusters").await, "Status"), "stopped");
    world
        .refused(
            "Action=DeleteDBCluster&DBClusterIdentifier=shop&SkipFinalSnapshot=true",
            400,
            "InvalidDBClusterStateFault",
        )
        .await;
    for name in ["two", "one"] {
        world.good(&format!("Action=DeleteDBInstance&DBInstanceIdentifier={name}")).await;
        world.until(name, "DBInstanceNotFound").await;
    }
    world.good("Action=DeleteDBCluster&DBClusterIdentifier=shop&SkipFinalSnapshot=true").await;
    world
        .refused(
            "Action=DescribeDBClusters&DBClusterIdentifier=shop",
            404,
            "DBClusterNotFoundFault",
        )
        .await;
    assert!(
        world
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
    let world = World::new().await;
    world.good(CREATE).await;
    world.until("orders", "available").await;
    let made = world
        .good("Action=CreateDBProxy&DBProxyName=front&EngineFamily=POSTGRESQL&RoleArn=arn:aws:iam::123456789012:role/x&VpcSubnetIds.member.1=s&Auth.member.1.IAMAuth=REQUIRED")
        .await;
    let (_, id) = text(&made, "DBProxyArn").rsplit_once(':').unwrap();
    let target = "DBProxyName=front&DBInstanceIdentifiers.member.1=orders";
    world.good(&format!("Action=RegisterDBProxyTargets&{target}")).await;
    world
        .refused(
            &format!("Action=RegisterDBProxyTargets&{target}"),
            400,
            "DBProxyTargetAlreadyRegisteredFault",
        )
        .await;
    let port: u16 = text(&made, "Endpoint").rsplit_once(':').unwrap().1.parse().unwrap();
    let through = |world: &World| {
        let of = |at: &Address| {
            at.resource_id.as_ref().is_some_and(|found| found.as_str() == id) && at.port == port
        };
        world.instance("orders").unwrap().addresses.iter().filter(|at| of(at)).count()
    };
    assert_eq!(through(&world), 2);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(b"ping").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"ping");
    world.good("Action=ModifyDBProxy&DBProxyName=front&Auth.member.1.IAMAuth=DISABLED").await;
    assert_eq!(through(&world), 0);
    world.good("Action=DeleteDBProxy&DBProxyName=front").await;
    world.refused("Action=DescribeDBProxies&DBProxyName=front", 404, "DBProxyNotFoundFault").await;
}

#[tokio::test]
async fn interrupted_transitions_are_resumed_after_a_restart() {
    let left = |api: &Api, name: &str, status| {
        let db: DbInstance = serde_json::from_value(serde_json::json!({
            "name": name, "account": account(), "region": "us-east-1", "resource_id": format!("db-{name}"), "engine": "postgres",
            "version": "16.9", "class": "db.t3.micro", "status": status, "created": 1, "master": "boss", "iam_enabled": false,
            "runner": if name == "elsewhere" { "there" } else { "here" },
        }))
        .unwrap();
        api.store()
            .change(|draft| draft.put(db.clone()).map(drop))
            .map_err(|error: StoreError| error)
            .unwrap();
    };
    let world = World::with(|api| {
        for (name, status) in [
            ("half", DbStatus::Creating),
            ("ending", DbStatus::Deleting),
            ("elsewhere", DbStatus::Creating),
        ] {
            left(api, name, status);
        }
    });
    let world = world.await;
    world.until("half", "failed").await;
    world.until("ending", "DBInstanceNotFound").await;
    world.until("elsewhere", "creating").await;
}

#[tokio::test]
async fn logs_tags_versions_and_pages() {
    let world = World::new().await;
    world.good(CREATE).await;
    world.until("orders", "available").await;
    let log = "Action=DownloadDBLogFilePortion&DBInstanceIdentifier=orders&LogFileName=error/postgresql.log";
    assert_eq!(text(&world.good(&format!("{log}&NumberOfLines=1")).await, "LogFileData"), "two\n");
    let first = world.good(&format!("{log}&NumberOfLines=1&Marker=0")).await;
    assert!(
        text(&first, "LogFileData") == "one\n"
            && text(&first, "Marker") == "4"
            && text(&first, "AdditionalDataPending") == "true"
    );
    world.refused(&log.replace("postgresql.log", "passwd"), 404, "DBLogFileNotFoundFault").await;

    let arn = "ResourceName=arn:aws:rds:us-east-1:123456789012:db:orders";
    world
        .good(&format!("Action=AddTagsToResource&{arn}&Tags.Tag.1.Key=a&Tags.Tag.1.Value=b"))
        .await;
    world.good(&format!("Action=RemoveTagsFromResource&{arn}&TagKeys.member.1=team")).await;
    let tags = world.good(&format!("Action=ListTagsForResource&{arn}")).await;
    assert!(
        tags.contains("<Tag><Key>a</Key><Value>b</Value></Tag>") && !tags.contains("team"),
        "{tags}"
    );
    let versions =
        world.good("Action=DescribeDBEngineVersions&Engine=postgres&DefaultOnly=true").await;
    assert!(versions.contains("16.9") && !versions.contains("15.18"));

    for number in 0..25 {
        world.good(&CREATE.replace("=orders", &format!("=many-{number:02}"))).await;
        world.until(&format!("many-{number:02}"), "available").await;
    }
    let page = world.good("Action=DescribeDBInstances&MaxRecords=20").await;
    assert_eq!(page.matches("<DBInstance>").count(), 20);
    let rest = world
        .good(&format!("Action=DescribeDBInstances&MaxRecords=20&Marker={}", text(&page, "Marker")))
        .await;
    assert!(rest.matches("<DBInstance>").count() == 6 && !rest.contains("<Marker>"));
    world
        .refused(
            "Action=DescribeDBInstances&Filters.Filter.1.Name=fish",
            400,
            "InvalidParameterValue",
        )
        .await;
    world.refused("Action=FailoverDBCluster&DBClusterIdentifier=x", 400, "InvalidAction").await;
}
