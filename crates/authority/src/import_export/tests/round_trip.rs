use std::collections::{BTreeMap, BTreeSet};

use countersign_core::name::{AccessKeyId, AccountId, Engine};
use countersign_core::region::Partition;
use countersign_core::token::KeyStatus;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::{apply, store};
use crate::import_export::{ExportSecrets, StateExport};
use crate::model::{
    AccessKey, Account, Address, AwsPolicy, Group, Instance, InstanceProfile, ManagedPolicy,
    OidcProvider, PolicyVersion, Role, ServiceAccount, Tags, User,
};
use crate::store::{Draft, State, Store, StoreError};

const ACCOUNTS: [&str; 2] = ["111122223333", "444455556666"];
const AWS: [&str; 2] =
    ["arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::aws:policy/job-function/Kept"];

/// Text that is difficult to quote in TOML or JSON.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[ -~]{0,12}",
        Just("a'''b\"\"\"c\\ \u{7f} é\r\n\tx\u{1}".to_owned()),
        Just("\n'\n".to_owned())
    ]
}

fn document() -> impl Strategy<Value = String> {
    (text(), prop_oneof![Just(" "), Just("\n"), Just("\r\n\t")]).prop_map(|(sid, space)| {
        let sid = serde_json::Value::from(sid.replace('$', "${$}"));
        format!(
            "{{{space}\"Version\": \"2012-10-17\",{space}\"Statement\": {{\
             \"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\", \
             \"Condition\": {{\"StringEquals\": {{\"aws:PrincipalTag/x\": {sid}}}}}}}{space}}}"
        )
    })
}

fn policies() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[A-Za-z0-9+=,.@_-]{1,8}", document(), 0..3)
}

fn tags() -> impl Strategy<Value = Tags> {
    btree_map("[A-Za-z0-9 :/é.\"-]{1,8}", text(), 0..3)
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![Just("/".to_owned()), "/[A-Za-z0-9.'\"-]{1,6}/"]
}

fn attached() -> impl Strategy<Value = BTreeSet<String>> {
    proptest::sample::subsequence(AWS.to_vec(), 0..=2)
        .prop_map(|arns| arns.into_iter().map(str::to_owned).collect())
}

fn created() -> impl Strategy<Value = u64> {
    0..4_000_000_000_u64
}

/// Generated properties of a user, used for the other records too.
#[derive(Debug, Clone)]
struct Person {
    path: String,
    created: u64,
    inline: BTreeMap<String, String>,
    attached: BTreeSet<String>,
    boundary: Option<String>,
    tags: Tags,
    description: String,
    trusts: bool,
    keys: Vec<(bool, u64)>,
    versions: Vec<(String, u64)>,
}

fn person() -> impl Strategy<Value = Person> {
    let boundary = option::of(Just(AWS[0].to_owned()));
    let keys = vec((any::<bool>(), created()), 0..3);
    let versions = vec((document(), created()), 1..6);
    (
        (path(), created(), policies(), attached(), boundary),
        (tags(), text(), any::<bool>(), keys, versions),
    )
        .prop_map(
            |(
                (path, created, inline, attached, boundary),
                (tags, description, trusts, keys, versions),
            )| Person {
                path,
                created,
                inline,
                attached,
                boundary,
                tags,
                description,
                trusts,
                keys,
                versions,
            },
        )
}

/// Stores a user, a role, a group, a profile, a policy and an instance for each person.
fn fill(draft: &mut Draft, people: &[Person], several: bool) -> Result<(), StoreError> {
    let accounts: Vec<AccountId> =
        ACCOUNTS[..if several { 2 } else { 1 }].iter().map(|id| id.parse().unwrap()).collect();
    for id in &accounts {
        let level = people.first().map(|person| person.inline.clone()).unwrap_or_default();
        let account = Account {
            id: id.clone(),
            partition: Partition::Aws,
            service_control: vec![level.clone(), BTreeMap::new()],
            resource_control: vec![],
        };
        draft.put(account)?;
    }
    if let Some((document, _)) = people.first().and_then(|person| person.versions.first()) {
        draft.put(AwsPolicy { arn: AWS[1].to_owned(), document: document.clone() })?;
    }
    for (index, person) in people.iter().enumerate() {
        let account = accounts[index % accounts.len()].clone();
        put(draft, person, &account, index)?;
    }
    Ok(())
}

fn put(
    draft: &mut Draft,
    person: &Person,
    account: &AccountId,
    index: usize,
) -> Result<(), StoreError> {
    let Person { path, created, inline, attached, boundary, tags, description, .. } =
        person.clone();
    let name = format!("N{index}.x");
    let unique_id = |prefix: &str| format!("{prefix}AAAAAAAAAAAAAAA{index:02}");
    let versions: BTreeMap<u32, PolicyVersion> = (1..)
        .zip(&person.versions)
        .map(|(number, (document, created))| {
            (number, PolicyVersion { document: document.clone(), created: *created })
        })
        .collect();
    let (default_version, next_version) =
        (1, u32::try_from(versions.len()).unwrap() + 1 + u32::from(person.trusts));
    let policy = ManagedPolicy {
        account: account.clone(),
        partition: Partition::Aws,
        path: path.clone(),
        name: name.clone(),
        unique_id: unique_id("ANPA"),
        description: description.clone(),
        created,
        versions,
        default_version,
        next_version,
        tags: tags.clone(),
    };
    let mut of_role = attached.clone();
    of_role.extend(policy.arn().map(|arn| arn.to_string()));
    draft.put(policy)?;
    draft.put(Group {
        account: account.clone(),
        path: path.clone(),
        name: name.clone(),
        unique_id: unique_id("AGPA"),
        created,
        inline: inline.clone(),
        attached: attached.clone(),
    })?;
    let trust = r#"{"Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Principal": "*", "Action": "*"}}"#;
    draft.put(Role {
        account: account.clone(),
        path: path.clone(),
        name: name.clone(),
        unique_id: unique_id("AROA"),
        description,
        created,
        trust: person.trusts.then(|| trust.to_owned()),
        max_session: 3600 + u32::try_from(index).unwrap(),
        inline: inline.clone(),
        attached: of_role,
        boundary: boundary.clone(),
        tags: tags.clone(),
    })?;
    put_user(draft, person, account, index)?;
    put_rest(draft, person, account, index)
}

fn put_user(
    draft: &mut Draft,
    person: &Person,
    account: &AccountId,
    index: usize,
) -> Result<(), StoreError> {
    let Person { path, created, inline, attached, boundary, tags, .. } = person.clone();
    let (name, unique_id) = (format!("N{index}.x"), format!("AIDAAAAAAAAAAAAAAAA{index:02}"));
    let mut access_keys: Vec<AccessKeyId> = Vec::new();
    for (at, (active, created)) in person.keys.iter().enumerate() {
        // Keys are in the order of their creation, not of their ids.
        let id: AccessKeyId = format!("AKIAAAAAAAAAAAAA{index}{}", 9 - at).parse().unwrap();
        let status = if *active { KeyStatus::Active } else { KeyStatus::Inactive };
        let secret = Zeroizing::new(format!("sec'ret\"\\/+{index}{at}"));
        draft.put(AccessKey {
            id: id.clone(),
            account: account.clone(),
            user: name.clone(),
            secret,
            status,
            created: *created,
        })?;
        access_keys.push(id);
    }
    draft.put(User {
        account: account.clone(),
        path: path.clone(),
        name: name.clone(),
        unique_id,
        created,
        access_keys,
        groups: if person.trusts { BTreeSet::from([name.clone()]) } else { BTreeSet::new() },
        inline,
        attached,
        boundary,
        tags: tags.clone(),
    })?;
    Ok(())
}

fn put_rest(
    draft: &mut Draft,
    person: &Person,
    account: &AccountId,
    index: usize,
) -> Result<(), StoreError> {
    let Person { path, created, tags, .. } = person.clone();
    let (name, unique_id) = (format!("N{index}.x"), format!("AIPAAAAAAAAAAAAAAAA{index:02}"));
    draft.put(InstanceProfile {
        account: account.clone(),
        path: path.clone(),
        name: name.clone(),
        unique_id,
        created,
        role: person.trusts.then(|| name.clone()),
        tags: tags.clone(),
    })?;
    let address = |host: &str, id: Option<&str>| Address {
        host: host.parse().unwrap(),
        port: 5432,
        resource_id: id.map(|id| id.parse().unwrap()),
    };
    draft.put(Instance {
        name: format!("db{index}").parse().unwrap(),
        account: account.clone(),
        resource_id: format!("db-A{index}").parse().unwrap(),
        engine: [Engine::Postgres, Engine::Mariadb, Engine::Mysql][index % 3],
        region: "eu-west-1".parse().unwrap(),
        iam_enabled: person.trusts,
        addresses: if person.trusts {
            vec![address("::1", None), address("proxy", Some("prx-1"))]
        } else {
            vec![]
        },
    })?;
    draft.put(OidcProvider {
        account: account.clone(),
        partition: Partition::Aws,
        host: format!("idp.example.com/{index}"),
        url: format!("https://idp.example.com/{index}"),
        client_ids: vec!["b".to_owned(), "a".to_owned()],
        thumbprints: vec![],
        created,
        tags,
    })?;
    let role = format!("arn:aws:iam::{account}:role{path}{name}");
    draft.put(ServiceAccount {
        namespace: "default".to_owned(),
        name: format!("s{index}"),
        pod_identity_role: person.trusts.then_some(role),
    })?;
    Ok(())
}

/// Formats all tables that a file covers.
fn tables(state: &State) -> String {
    let State {
        accounts,
        users,
        groups,
        roles,
        profiles,
        policies,
        aws_policies,
        providers,
        instances,
        service_accounts,
        ..
    } = state;
    let secrets: Vec<&str> = state.access_keys.values().map(|key| key.secret.as_str()).collect();
    format!(
        "{accounts:#?} {users:#?} {groups:#?} {roles:#?} {profiles:#?} {policies:#?} \
         {aws_policies:#?} {providers:#?} {instances:#?} \
         {service_accounts:#?} {:#?} {secrets:?}",
        state.access_keys.values().map(|key| (key, key.created)).collect::<Vec<_>>()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn importing_an_export_restores_the_state(
        people in vec(person(), 0..4),
        several in any::<bool>(),
    ) {
        let (_directory, from) = store();
        from.change(|draft| fill(draft, &people, several)).unwrap();
        let state = from.state().unwrap();
        let exported = StateExport::new(&state, ExportSecrets::Included);
        for file in [exported.to_toml().unwrap(), serde_json::to_string(&exported).unwrap()] {
            let (_other, to): (_, Store) = store();
            apply(&to, &file);
            prop_assert_eq!(tables(&to.state().unwrap()), tables(&state), "{}", file);
        }
        // An export without secrets changes nothing in a store that has them.
        let bare = StateExport::new(&state, ExportSecrets::Omitted).to_toml().unwrap();
        prop_assert!(!bare.contains("sec'ret"));
        prop_assert_eq!(apply(&from, &bare).changes, vec![]);
    }
}
