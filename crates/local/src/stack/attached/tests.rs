use std::time::SystemTime;

use countersign_authority::model::{Identity, IdentityKind};
use countersign_authority::store::{NewIdentity, Store};
use countersign_aws_api::server::state_directory;
use countersign_core::name::Engine;
use tempfile::TempDir;

use super::{Attached, check_names};
use crate::identities::{DEFAULT_USER, Identities};
use crate::state::{Authentication, CreatedBy, DesiredState, InstanceState, Phase, State};
use crate::{Layout, LocalError};

/// A stopped stack with a server named `mariadb`.
struct Place {
    layout: Layout,
    state: State,
    store: Store,
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let layout = Layout::new(directory.path()).unwrap();
        std::fs::create_dir_all(layout.instance(&"mariadb".parse().unwrap())).unwrap();
        let state = State {
            pid: 1,
            phase: Phase::Ready,
            dir: layout.root().to_owned(),
            account: "123456789012".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            socket: layout.socket(),
            ldap: None,
            aws_endpoint_url: None,
            metadata_endpoint: None,
            issuer: String::new(),
            ca: layout.ca(),
            audit_log: layout.output_file(),
            instances: vec![InstanceState {
                instance: "mariadb".parse().unwrap(),
                resource_id: "db-OWN".parse().unwrap(),
                engine: Engine::Mariadb,
                version: "10.11".parse().unwrap(),
                host: "127.0.0.1".parse().unwrap(),
                port: 3307,
                database: "app".to_owned(),
                user: DEFAULT_USER.to_owned(),
                authentication: Authentication::Plugin,
                reason: None,
                created_by: CreatedBy::CommandLine,
                desired_state: DesiredState::Up,
            }],
            skipped: Vec::new(),
            allowed_users: Vec::new(),
        };
        let store = Store::open(&state_directory(&layout.authority())).unwrap();
        store.ensure_account(&state.account, state.region.partition()).unwrap();
        let place = Self { layout, state, store, directory };
        place.user(DEFAULT_USER);
        place
    }

    /// Creates an IAM user with the default policy, without a database user, for lack of a server.
    fn user(&self, name: &str) {
        let new = NewIdentity { identity: &self.identity(name), trust: None, policy: None };
        self.store.create_identity(&new, SystemTime::now()).unwrap();
        self.identities().grant(IdentityKind::User, name, &name.parse().unwrap(), None).unwrap();
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::new(self.state.account.clone(), IdentityKind::User, name).unwrap()
    }

    fn identities(&self) -> Identities<'_> {
        Identities::new(&self.layout, &self.state, &self.store, self.directory.path())
    }

    fn policy(&self, name: &str) -> Option<String> {
        self.store.policy(&self.identity(name), "rds-db-connect").unwrap()
    }
}

fn server(name: &str) -> Attached {
    let hosts = ["127.0.0.1", "db.example"].map(|host| host.parse().unwrap()).to_vec();
    Attached { name: name.parse().unwrap(), engine: Engine::Mysql, hosts, port: 3306 }
}

#[test]
fn attached_server_keeps_its_resource_id_until_removed() {
    let place = Place::new();
    let first = place.identities().attach(&server("orders")).unwrap();
    assert_eq!(place.identities().attach(&server("orders")).unwrap(), first);
    let listed = place.identities().attached().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].addresses.len(), 2);

    let name = "orders".parse().unwrap();
    place.identities().detach(&name).unwrap();
    assert!(place.identities().attached().unwrap().is_empty());
    assert!(place.store.instance(&name).unwrap().is_none(), "logins are denied");
    assert!(place.identities().detach(&name).unwrap_err().to_string().contains("instance list"));
    assert_ne!(
        place.identities().attach(&server("orders")).unwrap(),
        first,
        "what was granted for the old one is not for the new one"
    );
}

#[test]
fn own_and_attached_servers_have_distinct_names() {
    let place = Place::new();
    let refused = place.identities().attach(&server("mariadb")).unwrap_err();
    assert!(matches!(refused, LocalError::Unusable(_)), "{refused}");
    assert!(matches!(
        place.identities().detach(&"mariadb".parse().unwrap()),
        Err(LocalError::Unusable(_))
    ));
    place.identities().attach(&server("mysql")).unwrap();
    check_names(&place.layout, [&"mariadb".parse().unwrap()].into_iter()).unwrap();
    let refused = check_names(&place.layout, [&"mysql".parse().unwrap()].into_iter()).unwrap_err();
    assert!(refused.to_string().contains("instance remove mysql"), "{refused}");
}

#[test]
fn default_policies_include_attached_servers() {
    let place = Place::new();
    let id = place.identities().attach(&server("orders")).unwrap();
    assert!(place.policy(DEFAULT_USER).unwrap().contains(&format!("dbuser:{id}/app")));
    place.user("jane");
    assert!(place.policy("jane").unwrap().contains(&format!("dbuser:{id}/jane")));

    // A policy that the operator changed is kept.
    place.identities().revoke(IdentityKind::User, DEFAULT_USER).unwrap();
    place.identities().attach(&server("stock")).unwrap();
    assert_eq!(place.policy(DEFAULT_USER), None);
}
