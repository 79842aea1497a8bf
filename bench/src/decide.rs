//! Policy decisions: over ten typical policies, and over growing numbers of statements.

use std::fmt::Write as _;

use countersign_core::policy::{
    Caller, Context, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide,
};

use crate::paired::{ROUNDS, Samples, Side, compare};
use crate::table::{Goal, Row, time};
use crate::{Problem, blocks};

/// Ten typical policies of a developer. The last one allows the login.
const POLICIES: &str = include_str!("../policies.json");

/// Goal of 2 µs in SHA-256 blocks of 46.5 ns, the time on the machine where the goal was set.
const GOAL: f64 = 43.0;

/// Number of blocks in one measurement.
const BLOCKS: u8 = 64;

/// Maximum ratio of a statement's cost among many to its cost among few. 100 statements fit into
/// the L1 cache, 10,000 do not.
const LINEAR: f64 = 1.5;

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let mut rows = typical()?;
    rows.extend(linear("allowed by the last", "worker")?);
    rows.extend(linear("allowed by none", "unlisted")?);
    Ok(rows)
}

/// Measures the three results: allow, explicit deny, implicit deny.
fn typical() -> Result<Vec<Row>, Problem> {
    let documents: Vec<serde_json::Value> = serde_json::from_str(POLICIES)?;
    let mut policies = PolicySet::new();
    for document in &documents {
        policies
            .add(Layer::Identity, Policy::parse(&document.to_string(), PolicyKind::Identity)?)?;
    }
    let (jane, root, john) =
        (Login::as_user("jane")?, Login::as_user("rdsadmin")?, Login::as_user("john")?);
    let Decision::Allow(_) = jane.decide(&policies) else {
        return Err("the ten policies do not allow jane".into());
    };
    let (Decision::Deny(_), Decision::Deny(_)) = (root.decide(&policies), john.decide(&policies))
    else {
        return Err("the ten policies allow rdsadmin or john".into());
    };
    let [allowed, denied, unmatched, block] = compare(
        ROUNDS,
        [
            jane.side(&policies),
            root.side(&policies),
            john.side(&policies),
            blocks::compress(BLOCKS.into()),
        ],
    )?;
    let row = |what: &str, samples: &Samples| {
        let spread = samples.over(&block).times(f64::from(BLOCKS));
        Row::new(
            format!("decision over 10 policies : a SHA-256 block, {what}"),
            spread,
            "x",
            Goal::AtMost(GOAL),
            time(samples),
        )
    };
    Ok(vec![
        row("allow", &allowed),
        row("explicit deny", &denied),
        row("implicit deny, explained", &unmatched),
    ])
}

/// Measures the cost of a statement among 100, relative to ten; and among 1,000 and 10,000,
/// relative to 100.
fn linear(what: &str, user: &str) -> Result<Vec<Row>, Problem> {
    let login = Login::as_user(user)?;
    let [ten, hundred, thousand, ten_thousand] = [10, 100, 1000, 10_000].map(statements);
    let (ten, hundred, thousand, ten_thousand) = (ten?, hundred?, thousand?, ten_thousand?);
    let [ten, hundred, thousand, ten_thousand] = compare(
        ROUNDS,
        [&ten, &hundred, &thousand, &ten_thousand].map(|policies| login.side(policies)),
    )?;
    let row = |(count, samples): (u32, &Samples), (base, few): (u32, &Samples)| {
        let spread = samples.over(few).times(f64::from(base) / f64::from(count));
        let aside = format!("{} : {}", time(samples), time(few));
        Row::new(
            format!("a statement among {count} : one among {base}, {what}"),
            spread,
            "x",
            Goal::AtMost(LINEAR),
            aside,
        )
    };
    let base = (100, &hundred);
    Ok(vec![
        row(base, (10, &ten)),
        row((1000, &thousand), base),
        row((10_000, &ten_thousand), base),
    ])
}

/// Returns one policy of `count` statements, each for another user, the last for `worker`.
fn statements(count: usize) -> Result<PolicySet, Problem> {
    let mut text = String::from(r#"{"Version": "2012-10-17", "Statement": ["#);
    for index in 1..count {
        let resource =
            format!("arn:aws:rds-db:us-east-1:123456789012:dbuser:cluster-*/user{index}");
        write!(
            text,
            r#"{{"Effect": "Allow", "Action": "rds-db:connect", "Resource": "{resource}"}}, "#
        )?;
    }
    text.push_str(
        r#"{"Effect": "Allow", "Action": "rds-db:connect",
            "Resource": "arn:aws:rds-db:*:*:dbuser:*/worker"}]}"#,
    );
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, Policy::parse(&text, PolicyKind::Identity)?)?;
    Ok(policies)
}

/// Login of an IAM user as a database user.
struct Login {
    caller: Caller,
    resource: String,
    context: Context,
}

impl Login {
    /// Creates a login of jane as the database user `name`.
    fn as_user(name: &str) -> Result<Self, Problem> {
        let mut context = Context::new();
        for (key, value) in [
            ("aws:RequestedRegion", "us-east-1"),
            ("aws:SourceIp", "203.0.113.9"),
            ("aws:MultiFactorAuthPresent", "true"),
        ] {
            context.insert(key, value);
        }
        let resource = format!(
            "arn:aws:rds-db:us-east-1:123456789012:dbuser:cluster-ABCDEFGHIJKL01234/{name}"
        );
        Ok(Self { caller: "arn:aws:iam::123456789012:user/jane".parse()?, resource, context })
    }

    fn side<'a>(&'a self, policies: &'a PolicySet) -> Side<'a> {
        Side::quick(|| self.decide(policies))
    }

    fn decide(&self, policies: &PolicySet) -> Decision {
        let Ok(action) = "rds-db:connect".parse() else { unreachable!("the action is valid") };
        let request = Request {
            caller: &self.caller,
            action: &action,
            resource: &self.resource,
            resource_account: None,
            context: &self.context,
        };
        decide(&request, policies)
    }
}
