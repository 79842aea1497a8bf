//! Fixtures of the tests: an API with servers that echo.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::name::{Engine, InstanceId};

use crate::api::Api;
use crate::testing::{ADMINISTRATOR, Served, text};
use countersign_authority::model::Instance;
use countersign_authority::servers::{
    EngineVersion, LogFile, NewServer, RunningServer, ServerDescription, Servers, ServersError,
};

/// Servers that echo: ports by instance, and the passwords that were set.
#[derive(Debug, Default)]
pub(super) struct EchoServers {
    pub(super) ports: Mutex<BTreeMap<InstanceId, u16>>,
    pub(super) passwords: Mutex<Vec<String>>,
}

impl EchoServers {
    pub(super) fn running(&self, name: &InstanceId) -> Result<RunningServer, ServersError> {
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

impl Servers for EchoServers {
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

pub(super) struct RdsFixture {
    pub(super) served: Served,
    pub(super) admin: Credentials,
    pub(super) echoes: Arc<EchoServers>,
}

pub(super) const CREATE: &str = "Action=CreateDBInstance&DBInstanceIdentifier=orders&Engine=postgres&EngineVersion=16&DBInstanceClass=db.t3.micro\
     &MasterUsername=boss&MasterUserPassword=hunter2hunter2&EnableIAMDatabaseAuthentication=true&Tags.Tag.1.Key=team&Tags.Tag.1.Value=red";

impl RdsFixture {
    pub(super) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// Creates an API over a store that `before` has changed.
    pub(super) async fn with(before: impl FnOnce(&Api)) -> Self {
        let echoes = Arc::new(EchoServers::default());
        let servers: Arc<dyn Servers> = Arc::<EchoServers>::clone(&echoes);
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

    pub(super) async fn send(&self, form: &str) -> (u16, String) {
        self.served.call("rds", &self.admin, form).await
    }

    pub(super) async fn ok(&self, form: &str) -> String {
        let (status, answer) = self.send(form).await;
        assert_eq!(status, 200, "{form}: {answer}");
        answer
    }

    pub(super) async fn expect_error(&self, form: &str, status: u16, code: &str) {
        let answer = self.send(form).await;
        assert!(
            answer.0 == status && answer.1.contains(&format!("<Code>{code}</Code>")),
            "{form}: expected {status} {code}: {answer:?}"
        );
    }

    /// Waits until an instance has a status.
    pub(super) async fn wait_for_status(&self, name: &str, wanted: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let (status, answer) =
                self.send(&format!("Action=DescribeDBInstances&DBInstanceIdentifier={name}")).await;
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

    pub(super) fn instance(&self, name: &str) -> Option<Arc<Instance>> {
        self.served.api.store().instance(&name.parse().unwrap()).unwrap()
    }
}
