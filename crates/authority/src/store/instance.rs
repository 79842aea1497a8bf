//! Database instances, and the names under which they are reached.

use countersign_core::arn::Arn;
use countersign_core::endpoint::Endpoint;
use countersign_core::name::{AccountId, DbUser, Engine, InstanceId, ResourceId};
use countersign_core::region::Region;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, constraint, random};

/// A database instance as the verifier needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub name: InstanceId,
    /// The account that it belongs to.
    pub account: AccountId,
    /// What policies name it by: the cluster's for a member of one.
    pub resource_id: ResourceId,
    /// The server's kind.
    pub engine: Engine,
    /// Where it is.
    pub region: Region,
    /// Whether IAM authentication is switched on.
    pub iam_enabled: bool,
    /// Every name and port that tokens may be signed for.
    pub endpoints: Vec<Endpoint>,
}

impl Instance {
    /// What `rds-db:connect` is decided on for `user`.
    #[must_use]
    pub fn resource(&self, user: &DbUser) -> Arn {
        Arn::db_user(self.region.partition(), &self.region, &self.account, &self.resource_id, user)
    }
}

impl Store {
    /// A resource id that no instance has: `db-` and 26 characters, as AWS's are.
    ///
    /// # Errors
    /// [`StoreError::Random`]
    pub fn new_resource_id() -> Result<ResourceId, StoreError> {
        Ok(random::id("db-", 26)?.parse()?)
    }

    /// Keeps an instance with exactly these endpoints; one of that name is replaced.
    ///
    /// # Errors
    /// [`StoreError::Missing`] for the account, [`StoreError::Exists`] for a resource id of another instance,
    /// [`StoreError::Database`].
    pub fn put_instance(&self, instance: &Instance) -> Result<(), StoreError> {
        let put = self.run(|db| {
            db.execute(
                "INSERT INTO instance (name, account, engine, region, resource_id, iam) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (name) DO UPDATE SET account = excluded.account, engine = excluded.engine, region = excluded.region,
                     resource_id = excluded.resource_id, iam = excluded.iam",
                params![
                    instance.name.as_str(),
                    instance.account.as_str(),
                    instance.engine.as_str(),
                    instance.region.as_str(),
                    instance.resource_id.as_str(),
                    instance.iam_enabled
                ],
            )?;
            db.execute("DELETE FROM endpoint WHERE instance = ?1", [instance.name.as_str()])?;
            let mut insert = db.prepare_cached("INSERT INTO endpoint (instance, host, port) VALUES (?1, ?2, ?3)")?;
            for endpoint in &instance.endpoints {
                insert.execute(params![instance.name.as_str(), endpoint.host.as_str(), endpoint.port])?;
            }
            Ok(())
        });
        let exists = format!("an instance with the resource id {}", instance.resource_id);
        put.map_err(|error| constraint(error, &exists, &format!("account {}", instance.account)))
    }

    /// Forgets an instance; `false` where there was none of that name.
    ///
    /// # Errors
    /// [`StoreError::Database`]
    pub fn delete_instance(&self, name: &InstanceId) -> Result<bool, StoreError> {
        self.run(|db| db.execute("DELETE FROM instance WHERE name = ?1", [name.as_str()])).map(|count| count > 0)
    }

    /// The names of all instances.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Database`].
    pub fn instance_names(&self) -> Result<Vec<InstanceId>, StoreError> {
        let names: Vec<String> = self.read(|db| {
            let mut query = db.prepare_cached("SELECT name FROM instance ORDER BY name")?;
            query.query_map([], |row| row.get(0))?.collect()
        })?;
        names.iter().map(|name| Ok(name.parse()?)).collect()
    }

    /// The instance of that name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Database`].
    pub fn instance(&self, name: &InstanceId) -> Result<Option<Instance>, StoreError> {
        let found = self.read(|db| find(db, name))?;
        found.map(|row| row.resolve(name)).transpose()
    }
}

/// An instance's row and its endpoints', as text.
struct Found {
    account: String,
    engine: String,
    region: String,
    resource_id: String,
    iam: bool,
    endpoints: Vec<(String, u16)>,
}

fn find(db: &Connection, name: &InstanceId) -> rusqlite::Result<Option<Found>> {
    let mut query = db.prepare_cached("SELECT account, engine, region, resource_id, iam FROM instance WHERE name = ?1")?;
    let found = query.query_row([name.as_str()], |row| {
        let endpoints = Vec::new();
        Ok(Found { account: row.get(0)?, engine: row.get(1)?, region: row.get(2)?, resource_id: row.get(3)?, iam: row.get(4)?, endpoints })
    });
    let Some(mut found) = found.optional()? else { return Ok(None) };
    let mut query = db.prepare_cached("SELECT host, port FROM endpoint WHERE instance = ?1 ORDER BY rowid")?;
    found.endpoints = query.query_map([name.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(Some(found))
}

impl Found {
    fn resolve(self, name: &InstanceId) -> Result<Instance, StoreError> {
        let (engine, region): (Engine, Region) = (self.engine.parse()?, self.region.parse()?);
        let endpoint = |(host, port): (String, u16)| Ok(Endpoint { engine, host: host.parse()?, port, region: region.clone() });
        Ok(Instance {
            name: name.clone(),
            account: self.account.parse()?,
            resource_id: self.resource_id.parse()?,
            engine,
            iam_enabled: self.iam,
            endpoints: self.endpoints.into_iter().map(endpoint).collect::<Result<_, StoreError>>()?,
            region,
        })
    }
}
