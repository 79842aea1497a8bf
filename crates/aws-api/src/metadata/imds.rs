//! EC2's instance metadata service: what a machine is, and the credentials of its instance profile's role.
//!
//! Everybody who reaches the address is the machine: it listens on an address of its own, and only where that was asked for. A
//! session token has to be fetched first (IMDSv2), which no proxy and no web page does by accident.
//!
//! Source: "Use the Instance Metadata Service to access instance metadata" and "Instance metadata categories" in the EC2 user guide.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use countersign_core::name::AccountId;
use countersign_core::region::Region;
use countersign_core::timestamp::rfc3339;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Response};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::assumption::{Assumption, members};
use super::request::MetadataRequest;
use crate::api::Api;
use crate::context::ReceivedRequest;
use crate::error::ApiError;
use crate::response::{pretty, text};
use countersign_authority::model::{InstanceProfile, instant, seconds};
use countersign_authority::store::{State, account_key};

/// What roles have to trust.
const SERVICE: &str = "ec2.amazonaws.com";

/// How long the credentials last. Source: "IAM roles for Amazon EC2" in the EC2 user guide: six hours.
const LIFETIME: Duration = Duration::from_secs(6 * 3600);

const TOKEN_PATH: &str = "/latest/api/token";
const CREDENTIALS_PATH: &str = "/latest/meta-data/iam/security-credentials";
const TOKEN: &str = "x-aws-ec2-metadata-token";
const TOKEN_TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The longest that a token is good for, in seconds.
const MAX_TTL: u64 = 21_600;

/// The longest token that is looked at, in bytes: those made here have 64.
const MAX_TOKEN: usize = 256;

/// The machine that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its account.
    pub account: AccountId,
    /// The name of its instance profile.
    pub profile: String,
    /// Where it is.
    pub region: Region,
    /// Whether requests without a token are answered (IMDSv1). Then every web page and every proxy that can be had to ask for a
    /// URL gets the credentials.
    pub version_one: bool,
}

impl Machine {
    /// `i-` and 17 hexadecimal digits: always the same for a profile.
    fn id(&self) -> String {
        let name = format!("{}/{}/{}", self.account, self.region, self.profile);
        let hex: String = digest(&SHA256, name.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        format!("i-{}", hex.get(..17).unwrap_or_default())
    }
}

/// The metadata service of one machine.
#[derive(Debug)]
pub(crate) struct Imds {
    pub(crate) api: Arc<Api>,
    pub(crate) machine: Machine,
}

/// What is answered instead of an answer: a status.
type Refusal = u16;

impl Imds {
    pub(crate) fn respond(&self, received: &ReceivedRequest) -> Response<String> {
        let visit = match MetadataRequest::new(&self.api, received) {
            Ok(visit) => MetadataRequest { region: self.machine.region.clone(), ..visit },
            Err(error) => return text(error.status, &error.message),
        };
        if !is_own(&visit) {
            return text(403, "Forbidden: the Host is neither an address nor localhost");
        }
        let path = received.head.uri.path();
        let answered =
            if path == TOKEN_PATH { self.token(&visit) } else { self.metadata(&visit, path) };
        let mut response = answered.unwrap_or_else(|status| text(status, reason(status)));
        response.headers_mut().insert(header::SERVER, HeaderValue::from_static("EC2ws"));
        response
    }

    /// `PUT /latest/api/token`. Nothing is remembered of a token: when it ends is sealed in it.
    fn token(&self, visit: &MetadataRequest<'_>) -> Result<Response<String>, Refusal> {
        if visit.received.head.headers.contains_key("x-forwarded-for") {
            return Err(403);
        }
        if !visit.is(&Method::PUT) {
            return Err(405);
        }
        let asked = visit
            .header(TOKEN_TTL)
            .filter(|ttl| ttl.len() <= 5 && ttl.bytes().all(|byte| byte.is_ascii_digit()));
        let ttl: u64 = asked
            .and_then(|ttl| ttl.parse().ok())
            .filter(|ttl| (1..=MAX_TTL).contains(ttl))
            .ok_or(400_u16)?;
        let end = visit.now + Duration::from_secs(ttl);
        let token = visit
            .api
            .store()
            .sealing()
            .seal(seconds(end).to_string().as_bytes(), &self.purpose())
            .map_err(|error| {
                tracing::error!(%error, "a metadata token can't be sealed");
                500_u16
            })?;
        let mut response = text(200, &token);
        response.headers_mut().insert(TOKEN_TTL, HeaderValue::from(ttl));
        Ok(response)
    }

    fn metadata(
        &self,
        visit: &MetadataRequest<'_>,
        path: &str,
    ) -> Result<Response<String>, Refusal> {
        let tokens = visit.received.head.headers.get_all(TOKEN).iter().count();
        let version_one = tokens == 0 && self.machine.version_one;
        if !version_one
            && !visit.header(TOKEN).is_some_and(|token| self.is_good(token, visit.api, visit.now))
        {
            return Err(401);
        }
        if !visit.is(&Method::GET) {
            return Err(405);
        }
        let region = &self.machine.region;
        match path.strip_suffix('/').unwrap_or(path) {
            "/latest/meta-data/instance-id" => Ok(text(200, &self.machine.id())),
            "/latest/meta-data/placement/region" => Ok(text(200, region.as_str())),
            "/latest/meta-data/placement/availability-zone" => Ok(text(200, &format!("{region}a"))),
            "/latest/dynamic/instance-identity/document" => Ok(pretty(&self.document())),
            "/latest/meta-data/iam/info" => Ok(pretty(&self.info(visit)?)),
            CREDENTIALS_PATH => Ok(text(200, &self.role(&visit.state)?.1)),
            path => {
                let asked = path
                    .strip_prefix(CREDENTIALS_PATH)
                    .and_then(|rest| rest.strip_prefix('/'))
                    .ok_or(404_u16)?;
                Ok(pretty(&self.credentials(
                    visit,
                    asked,
                    if version_one { "1.0" } else { "2.0" },
                )?))
            }
        }
    }

    /// What a token is sealed for: another machine's, or a session's, is none.
    fn purpose(&self) -> Vec<u8> {
        format!("imds/{}", self.machine.id()).into_bytes()
    }

    fn is_good(&self, token: &str, api: &Api, now: SystemTime) -> bool {
        if token.len() > MAX_TOKEN {
            return false;
        }
        let end: Option<Zeroizing<Vec<u8>>> = api.store().sealing().open(token, &self.purpose());
        let end = end.and_then(|end| std::str::from_utf8(&end).ok()?.parse().ok());
        end.is_some_and(|end| now < instant(end))
    }

    /// The instance profile, and the role in it.
    fn role(&self, state: &State) -> Result<(Arc<InstanceProfile>, String), Refusal> {
        let profile = state
            .profiles
            .get(&account_key(self.machine.account.as_str(), &self.machine.profile))
            .ok_or(404_u16)?;
        let role = profile.role.clone().ok_or(404_u16)?;
        let found =
            state.roles.get(&account_key(self.machine.account.as_str(), &role)).ok_or(404_u16)?;
        Ok((Arc::clone(profile), found.name.clone()))
    }

    fn partition(&self, state: &State) -> &'static str {
        state
            .accounts
            .get(self.machine.account.as_str())
            .map_or("aws", |account| account.partition.as_str())
    }

    fn info(&self, visit: &MetadataRequest<'_>) -> Result<Value, Refusal> {
        let (profile, _) = self.role(&visit.state)?;
        let partition = self.partition(&visit.state);
        let arn = format!(
            "arn:{partition}:iam::{}:instance-profile{}{}",
            profile.account, profile.path, profile.name
        );
        Ok(json!({
            "Code": "Success",
            "LastUpdated": rfc3339(visit.now),
            "InstanceProfileArn": arn,
            "InstanceProfileId": profile.unique_id,
        }))
    }

    /// The instance identity document, as far as there is something to say.
    fn document(&self) -> Value {
        json!({
            "version": "2017-09-30",
            "accountId": self.machine.account,
            "instanceId": self.machine.id(),
            "region": self.machine.region,
            "availabilityZone": format!("{}a", self.machine.region),
        })
    }

    fn credentials(
        &self,
        visit: &MetadataRequest<'_>,
        asked: &str,
        delivery: &str,
    ) -> Result<Value, Refusal> {
        let (_, name) = self.role(&visit.state)?;
        if name != asked {
            return Err(404);
        }
        let (partition, Machine { account, region, .. }) =
            (self.partition(&visit.state), &self.machine);
        let path = visit
            .state
            .roles
            .get(&account_key(account.as_str(), &name))
            .map_or("/", |role| role.path.as_str());
        let (role, id) =
            (format!("arn:{partition}:iam::{account}:role{path}{name}"), self.machine.id());
        let assumption = Assumption {
            service: SERVICE,
            role: &role,
            session: &id,
            lifetime: LIFETIME,
            tags: Default::default(),
            request: Vec::new(),
            // Source: "Available keys for Amazon EC2" in the IAM user guide.
            facts: vec![
                ("ec2:RoleDelivery", delivery.to_owned()),
                (
                    "ec2:SourceInstanceARN",
                    format!("arn:{partition}:ec2:{region}:{account}:instance/{id}"),
                ),
            ],
        };
        let made = assumption.make(&visit.context());
        let mut value = match &made {
            Ok((_, credentials)) => members(credentials),
            // It is no error of HTTP's on EC2 either: clients look at the code.
            Err(ApiError { code: "AccessDenied", .. }) => {
                return Ok(json!({
                    "Code": "AssumeRoleUnauthorizedAccess",
                    "Message": format!("EC2 cannot assume the role {name}: its trust policy does not allow {SERVICE} to."),
                    "LastUpdated": rfc3339(visit.now),
                }));
            }
            Err(_) => return Err(500),
        };
        value.insert("Code".to_owned(), "Success".into());
        value.insert("LastUpdated".to_owned(), rfc3339(visit.now).into());
        value.insert("Type".to_owned(), "AWS-HMAC".into());
        Ok(value.into())
    }
}

/// Whether the request was sent to the machine itself: a web page whose name was turned to this address names itself here.
fn is_own(visit: &MetadataRequest<'_>) -> bool {
    let host = visit.header("host").unwrap_or_default();
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

fn reason(status: Refusal) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Internal Server Error",
    }
}
