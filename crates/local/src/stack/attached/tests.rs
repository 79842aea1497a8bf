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

/// A stack that has run, with a server of its own named `mariadb`.
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
                maker: CreatedBy::CommandLine,
                standing: DesiredState::Up,
            }],
            left_out: Vec::new(),
            allowed_users: Vec::new(),
        };
        let store = Store::open(&state_directory(&layout.authority())).unwrap();
        store.ensure_account(&state.account, state.region.partition()).unwrap();
        let place = Self { layout, state, store, directory };
        place.user(DEFAULT_USER);
        place
    }

    /// An IAM user with the usual policy, and no database user: there is no server to make one in.
    fn user(&self, name: &str) {
        let new = NewIdentity { identity: &self.identity(name), trust: None, policy: None };
        self.store.create_identity(&new, SystemTime::now()).unwrap();
        self.people().grant(IdentityKind::User, name, &name.parse().unwrap(), None).unwrap();
    }

    fn identity(&self, name: &str) -> Identity {
        Identity::new(self.state.account.clone(), IdentityKind::User, name).unwrap()
    }

    fn people(&self) -> Identities<'_> {
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
fn a_server_keeps_its_resource_id_until_it_is_removed() {
    let place = Place::new();
    let first = place.people().attach(&server("orders")).unwrap();
    assert_eq!(place.people().attach(&server("orders")).unwrap(), first);
    let listed = place.people().attached().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].addresses.len(), 2);

    let name = "orders".parse().unwrap();
    place.people().detach(&name).unwrap();
    assert!(place.people().attached().unwrap().is_empty());
    assert!(place.store.instance(&name).unwrap().is_none(), "nobody is let in");
    assert!(place.people().detach(&name).unwrap_err().to_string().contains("instance list"));
    assert_ne!(
        place.people().attach(&server("orders")).unwrap(),
        first,
        "what was granted for the old one is not for the new one"
    );
}

#[test]
fn a_stack_s_own_server_and_one_that_is_attached_don_t_share_a_name() {
    let place = Place::new();
    let refused = place.people().attach(&server("mariadb")).unwrap_err();
    assert!(matches!(refused, LocalError::Unusable(_)), "{refused}");
    assert!(matches!(
        place.people().detach(&"mariadb".parse().unwrap()),
        Err(LocalError::Unusable(_))
    ));
    place.people().attach(&server("mysql")).unwrap();
    check_names(&place.layout, [&"mariadb".parse().unwrap()].into_iter()).unwrap();
    let refused = check_names(&place.layout, [&"mysql".parse().unwrap()].into_iter()).unwrap_err();
    assert!(refused.to_string().contains("instance remove mysql"), "{refused}");
}

#[test]
fn usual_policies_name_what_is_attached_and_the_default_user_s_follows() {
    let place = Place::new();
    let id = place.people().attach(&server("orders")).unwrap();
    assert!(place.policy(DEFAULT_USER).unwrap().contains(&format!("dbuser:{id}/app")));
    place.user("jane");
    assert!(place.policy("jane").unwrap().contains(&format!("dbuser:{id}/jane")));

    // What its owner has changed stays.
    place.people().revoke(IdentityKind::User, DEFAULT_USER).unwrap();
    place.people().attach(&server("stock")).unwrap();
    assert_eq!(place.policy(DEFAULT_USER), None);
}
