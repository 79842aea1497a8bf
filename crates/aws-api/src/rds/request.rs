//! What the actions of RDS have in common: names, tags, filters, pages, and whether the caller may.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use countersign_core::name::{AccountId, Engine, InstanceId, ResourceId};
use countersign_core::region::{Partition, Region};

use crate::context::{RequestContext, Target};
use crate::error::ApiError;
use crate::parameters::Parameters;
use crate::xml::Xml;
use countersign_authority::model::{DbCluster, DbInstance, Tags};
use countersign_authority::random;
use countersign_authority::servers::ServersError;

/// The most tags of a resource. Source: "Tagging Amazon RDS resources" in the RDS user guide.
const MAX_TAGS: usize = 50;

pub(super) fn error(code: &'static str, message: impl AsRef<str>) -> ApiError {
    ApiError::new(code, 400, message.as_ref())
}

pub(super) fn bad_value(message: impl AsRef<str>) -> ApiError {
    error("InvalidParameterValue", message)
}

pub(super) fn bad_combination(message: impl AsRef<str>) -> ApiError {
    error("InvalidParameterCombination", message)
}

/// What the one who runs servers says, as the API says it.
impl From<ServersError> for ApiError {
    fn from(refused: ServersError) -> Self {
        match &refused {
            ServersError::NotFound(_) | ServersError::Invalid(_) => {
                bad_combination(refused.to_string())
            }
            ServersError::InstanceNotFound(_) => {
                Self::new("DBInstanceNotFound", 404, &refused.to_string())
            }
            ServersError::PortInUse(_) => bad_value(refused.to_string()),
            ServersError::Failed(_) => Self::internal(&refused),
        }
    }
}

pub(super) fn required<'a>(call: &RequestContext<'a>, name: &str) -> Result<&'a str, ApiError> {
    call.parameters.text(name).ok_or_else(|| {
        error("MissingParameter", format!("The request must contain the parameter {name}."))
    })
}

/// A number within bounds.
pub(super) fn number(
    call: &RequestContext<'_>,
    name: &str,
    least: u64,
    most: u64,
) -> Result<Option<u64>, ApiError> {
    match call.parameters.number(name)? {
        Some(value) if !(least..=most).contains(&value) => Err(bad_value(format!(
            "Invalid value {value} for {name}: it must be {least} to {most}."
        ))),
        value => Ok(value),
    }
}

/// A port that a server may have. Source: `Port` of CreateDBInstance in the RDS API reference.
pub(super) fn port(call: &RequestContext<'_>, name: &str) -> Result<Option<u16>, ApiError> {
    Ok(number(call, name, 1150, 65535)?.and_then(|port| u16::try_from(port).ok()))
}

/// The place that a request is about: names are looked up in it.
#[derive(Debug, Clone)]
pub(super) struct AccountRegion {
    pub(super) account: AccountId,
    pub(super) region: Region,
    pub(super) partition: Partition,
}

impl AccountRegion {
    pub(super) fn of(call: &RequestContext<'_>) -> Result<Self, ApiError> {
        Ok(Self {
            account: call.account()?.clone(),
            region: call.region.clone(),
            partition: call.partition()?,
        })
    }

    /// `arn:PARTITION:rds:REGION:ACCOUNT:KIND:NAME`
    pub(super) fn arn(&self, kind: &str, name: &str) -> String {
        format!("arn:{}:rds:{}:{}:{kind}:{name}", self.partition, self.region, self.account)
    }

    pub(super) fn has(&self, account: &AccountId, region: &Region) -> bool {
        self.account == *account && self.region == *region
    }

    /// A name that may be given as the ARN of one of this kind here.
    pub(super) fn name_in<'a>(&self, kind: &str, text: &'a str) -> &'a str {
        text.strip_prefix(&self.arn(kind, "")).unwrap_or(text)
    }
}

/// The name of something new: of an instance's form, in lower case. Source: CreateDBInstance in the RDS API reference.
pub(super) fn new_name(parameter: &str, text: &str) -> Result<InstanceId, ApiError> {
    text.to_ascii_lowercase().parse().map_err(|_| {
        bad_value(format!(
            "The parameter {parameter} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, \
             digits, and hyphens; must be at most 63 long; and must not end with a hyphen or contain two consecutive hyphens."
        ))
    })
}

/// A new resource id: `prefix` and 26 characters.
pub(super) fn resource_id(prefix: &str) -> Result<ResourceId, ApiError> {
    Ok(random::id(prefix, 26)?.parse()?)
}

/// The tags that a request gives.
pub(super) fn tags(parameters: &Parameters) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    for tag in parameters.structures("Tags") {
        let (key, value) =
            (tag.text("Key").unwrap_or_default(), tag.text_or_empty("Value").unwrap_or_default());
        if key.is_empty()
            || key.chars().count() > 128
            || value.chars().count() > 256
            || key.to_ascii_lowercase().starts_with("aws:")
        {
            return Err(bad_value(
                "A tag's key must be 1 to 128 characters that do not begin with aws:, and its value at most 256.",
            ));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(bad_value(format!("Duplicate tag keys are not allowed: {key}")));
        }
    }
    checked(tags)
}

/// Tags, if they are not too many.
pub(super) fn checked(tags: Tags) -> Result<Tags, ApiError> {
    if tags.len() > MAX_TAGS {
        Err(bad_value(format!("A resource can have at most {MAX_TAGS} tags.")))
    } else {
        Ok(tags)
    }
}

pub(super) fn put_tags(xml: &mut Xml, tags: &Tags) {
    xml.list("TagList", "Tag", tags, |xml, (key, value)| {
        xml.leaf("Key", key).leaf("Value", value);
    });
}

/// What policies can ask about a request. Source: "Actions, resources, and condition keys for Amazon RDS" in the Service
/// Authorization Reference.
#[derive(Debug, Default)]
pub(super) struct Facts<'a> {
    /// The tags of what is there already, and the name of RDS's own key for them.
    pub(super) has: Option<(&'static str, &'a Tags)>,
    /// The tags that the request gives.
    pub(super) gives: Option<&'a Tags>,
    /// The keys that the request names.
    pub(super) keys: Vec<String>,
    /// Others.
    pub(super) more: Vec<(&'static str, String)>,
}

impl<'a> Facts<'a> {
    pub(super) fn of_instance(db: &'a DbInstance) -> Self {
        let more = vec![
            ("rds:DatabaseEngine", db.engine.clone()),
            ("rds:DatabaseClass", db.class.clone()),
        ];
        Self { has: Some(("db-tag", &db.tags)), more, ..Self::default() }
    }

    pub(super) fn of_cluster(cluster: &'a DbCluster) -> Self {
        let more = vec![("rds:DatabaseEngine", cluster.engine.clone())];
        Self { has: Some(("cluster-tag", &cluster.tags)), more, ..Self::default() }
    }
}

/// Whether the caller may do `action` to `arn`.
pub(super) fn allow(
    call: &RequestContext<'_>,
    action: &str,
    arn: &str,
    facts: &Facts<'_>,
) -> Result<(), ApiError> {
    let mut target = Target::of(arn);
    if let Some((kind, tags)) = facts.has {
        for (key, value) in tags {
            target = target
                .with(&format!("aws:ResourceTag/{key}"), value.as_str())
                .with(&format!("rds:{kind}/{key}"), value.as_str());
        }
    }
    let mut keys = facts.keys.clone();
    for (key, value) in facts.gives.into_iter().flatten() {
        target = target
            .with(&format!("aws:RequestTag/{key}"), value.as_str())
            .with(&format!("rds:req-tag/{key}"), value.as_str());
        keys.push(key.clone());
    }
    if !keys.is_empty() {
        target = target.with("aws:TagKeys", keys);
    }
    for (key, value) in &facts.more {
        target = target.with(key, value.as_str());
    }
    call.authorize(&format!("rds:{action}"), &target).map(drop)
}

/// Whether the caller may make `arn` and, where it gives tags, tag it.
pub(super) fn allow_new(
    call: &RequestContext<'_>,
    action: &str,
    arn: &str,
    facts: &Facts<'_>,
) -> Result<(), ApiError> {
    allow(call, action, arn, facts)?;
    if facts.gives.is_some_and(|tags| !tags.is_empty()) {
        allow(call, "AddTagsToResource", arn, facts)
    } else {
        Ok(())
    }
}

/// The filters of a request, each with its values, of which one has to fit.
pub(super) fn filters(
    call: &RequestContext<'_>,
    known: &[&str],
) -> Result<Vec<(String, Vec<String>)>, ApiError> {
    let read = |filter: Parameters| {
        let name = filter.text("Name").unwrap_or_default().to_owned();
        if !known.contains(&name.as_str()) {
            return Err(bad_value(format!("Unrecognized filter name: {name}")));
        }
        Ok((name, filter.list("Values").into_iter().map(str::to_owned).collect()))
    };
    call.parameters.structures("Filters").into_iter().map(read).collect()
}

/// The page of `items`, which are in the order of their keys, that the request asks for; and the marker of the next.
pub(super) fn page<T>(
    call: &RequestContext<'_>,
    items: Vec<(String, T)>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let most = number(call, "MaxRecords", 20, 100)?
        .and_then(|most| usize::try_from(most).ok())
        .unwrap_or(100);
    let after = call.parameters.text("Marker").map(|marker| {
        let decoded = BASE64_URL_SAFE_NO_PAD
            .decode(marker)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.ok_or_else(|| bad_value("Invalid Marker: give back the one of the last answer."))
    });
    let after = after.transpose()?;
    let rest = items.into_iter().filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let mut page: Vec<(String, T)> = rest.take(most + 1).collect();
    let more = page.len() > most;
    page.truncate(most);
    let marker = page.last().filter(|_| more).map(|(key, _)| BASE64_URL_SAFE_NO_PAD.encode(key));
    Ok((page.into_iter().map(|(_, item)| item).collect(), marker))
}

/// The engine behind a name of RDS's.
pub(super) fn engine(name: &str) -> Result<Engine, ApiError> {
    match name {
        "postgres" | "aurora-postgresql" => Ok(Engine::Postgres),
        "mysql" | "aurora-mysql" => Ok(Engine::Mysql),
        "mariadb" => Ok(Engine::Mariadb),
        _ => Err(bad_value(format!(
            "Invalid DB engine: {name}. Valid engines are postgres, mysql, mariadb, aurora-postgresql, aurora-mysql."
        ))),
    }
}

/// The master user's name; the server's engine may refuse more. Source: `MasterUsername` of CreateDBInstance.
pub(super) fn master_name(engine: Engine, name: &str) -> Result<String, ApiError> {
    let longest = if engine == Engine::Postgres { 63 } else { 32 };
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name.len() > longest
        || !word
        || !name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
    {
        return Err(bad_value(format!(
            "The parameter MasterUsername is not a letter followed by up to {} letters, digits or underscores.",
            longest - 1
        )));
    }
    if [
        "rdsadmin",
        "rds_superuser",
        "rds_iam",
        "rds_password",
        "rds_replication",
        "public",
        "mysql",
    ]
    .contains(&&*name.to_ascii_lowercase())
    {
        return Err(bad_value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(name.to_owned())
}

/// The master user's password. Source: `MasterUserPassword` of CreateDBInstance.
pub(super) fn master_password(
    engine: Engine,
    password: &str,
) -> Result<countersign_core::credentials::Secret, ApiError> {
    let longest = if engine == Engine::Postgres { 128 } else { 41 };
    if !(8..=longest).contains(&password.len()) {
        return Err(bad_value(format!(
            "The parameter MasterUserPassword is not a valid password because it is not 8 to {longest} characters."
        )));
    }
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"/\"@".contains(&byte);
    let secret =
        countersign_core::credentials::Secret::new(password).filter(|_| password.bytes().all(fits));
    secret.ok_or_else(|| {
        bad_value(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.",
        )
    })
}

/// The name of a database that is made with a server.
pub(super) fn database_name(parameter: &str, name: &str) -> Result<String, ApiError> {
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if starts
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Ok(name.to_owned());
    }
    Err(bad_value(format!(
        "{parameter} must begin with a letter and contain only alphanumeric characters or underscores."
    )))
}

/// What is kept and given back, though it has no effect.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Flag,
    Number(u64, u64),
    Text,
}

const KEPT: [(&str, Kept); 10] = [
    ("AllocatedStorage", Kept::Number(5, 65_536)),
    ("AutoMinorVersionUpgrade", Kept::Flag),
    ("BackupRetentionPeriod", Kept::Number(0, 35)),
    ("CopyTagsToSnapshot", Kept::Flag),
    ("LicenseModel", Kept::Text),
    ("PreferredBackupWindow", Kept::Text),
    ("PreferredMaintenanceWindow", Kept::Text),
    ("PromotionTier", Kept::Number(0, 15)),
    ("PubliclyAccessible", Kept::Flag),
    ("StorageType", Kept::Text),
];

/// What would have an effect on AWS and has none here: taken only as what it is here anyway.
const FIXED: [(&str, &str); 6] = [
    ("MultiAZ", "false"),
    ("StorageEncrypted", "false"),
    ("EnablePerformanceInsights", "false"),
    ("ManageMasterUserPassword", "false"),
    ("MonitoringInterval", "0"),
    ("NetworkType", "IPV4"),
];

/// The settings that a request gives and that are given back. What can't be as it says is refused.
pub(super) fn settings(call: &RequestContext<'_>) -> Result<BTreeMap<String, String>, ApiError> {
    for (name, only) in FIXED {
        if let Some(value) = call.parameters.text(name)
            && !value.eq_ignore_ascii_case(only)
        {
            return Err(bad_combination(format!(
                "{name} can only be {only}: this authority's servers have no more than that."
            )));
        }
    }
    let mut settings = BTreeMap::new();
    for (name, kind) in KEPT {
        let value = match kind {
            Kept::Flag => call.parameters.flag(name)?.map(|flag| flag.to_string()),
            Kept::Number(least, most) => {
                number(call, name, least, most)?.map(|number| number.to_string())
            }
            Kept::Text => call.parameters.text(name).map(str::to_owned),
        };
        if let Some(value) = value {
            if value.len() > 64 {
                return Err(bad_value(format!("{name} is too long.")));
            }
            settings.insert(name.to_owned(), value);
        }
    }
    Ok(settings)
}

/// `db.t3.micro`, …: any class, since none has an effect.
pub(super) fn class(text: &str) -> Result<String, ApiError> {
    let word = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-'
    };
    if text.starts_with("db.") && text.len() <= 64 && text.bytes().all(word) {
        return Ok(text.to_owned());
    }
    Err(bad_value(format!("Invalid DB Instance class: {text}")))
}

/// The logs that can be said to be exported, by engine. Source: CloudwatchLogsExportConfiguration in the RDS API reference.
pub(super) fn log_types(engine: Engine, named: &[&str]) -> Result<Vec<String>, ApiError> {
    let known: &[&str] = match engine {
        Engine::Postgres => &["postgresql", "upgrade", "iam-db-auth-error"],
        Engine::Mysql | Engine::Mariadb => {
            &["audit", "error", "general", "slowquery", "iam-db-auth-error"]
        }
    };
    let read = |name: &&str| {
        if known.contains(name) {
            return Ok((*name).to_owned());
        }
        Err(bad_combination(format!(
            "You cannot use the log types '{name}' with engine version {engine}."
        )))
    };
    named.iter().map(read).collect()
}
