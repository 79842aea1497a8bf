//! Decisions: over ten ordinary policies, and over ever more statements.

use std::fmt::Write as _;

use countersign_core::policy::{
    Caller, Context, Decision, Layer, Policy, PolicyKind, PolicySet, Request, decide,
};

use crate::paired::{ROUNDS, Samples, Side, compare};
use crate::table::{Goal, Row, time};
use crate::{Problem, blocks};

/// Ten policies such as a developer has, the last of which allows the login.
const POLICIES: &str = include_str!("../policies.json");

/// What 2 µs are in SHA-256 blocks, at the 46.5 ns that one takes where the goal was set.
const GOAL: f64 = 43.0;

/// How many blocks are timed together.
const BLOCKS: u8 = 64;

/// How much more a statement may cost among many than among few. A hundred stay in the nearest cache, 10,000 don't.
const LINEAR: f64 = 1.5;

pub(crate) fn rows() -> Result<Vec<Row>, Problem> {
    let mut rows = ordinary()?;
    rows.extend(linear("allowed by the last", "worker")?);
    rows.extend(linear("allowed by none", "nobody")?);
    Ok(rows)
}

/// The three answers there are: allowed, denied by a statement, allowed by none.
fn ordinary() -> Result<Vec<Row>, Problem> {
    let documents: Vec<serde_json::Value> = serde_json::from_str(POLICIES)?;
    let mut policies = PolicySet::new();
    for document in &documents {
        policies
            .add(Layer::Identity, Policy::parse(&document.to_string(), PolicyKind::Identity)?)?;
    }
    let (jane, root, john) =
        (Login::as_user("jane")?, Login::as_user("rdsadmin")?, Login::as_user("john")?);
    let Decision::Allow(_) = jane.decide(&policies) else {
        return Err("the ten policies don't let jane in".into());
    };
    let (Decision::Deny(_), Decision::Deny(_)) = (root.decide(&policies), john.decide(&policies))
    else {
        return Err("the ten policies let in whom they should not".into());
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

/// What a statement costs among 100, in what it costs among ten; and among 1,000 and 10,000, in what it costs among 100.
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

/// One policy of so many statements, each for a user of its own but the last, which is for `worker`.
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
    text.push_str(r#"{"Effect": "Allow", "Action": "rds-db:connect", "Resource": "arn:aws:rds-db:*:*:dbuser:*/worker"}]}"#);
    let mut policies = PolicySet::new();
    policies.add(Layer::Identity, Policy::parse(&text, PolicyKind::Identity)?)?;
    Ok(policies)
}

/// An IAM user who wants to log in as a database user.
struct Login {
    caller: Caller,
    resource: String,
    context: Context,
}

impl Login {
    /// jane, as the database user `name`.
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
        let Ok(action) = "rds-db:connect".parse() else {
            unreachable!("it is a service, a colon and a name")
        };
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
