mod nameserver;

use hickory_resolver::Hosts;

use super::*;
use nameserver::{Entry, NameServer, addresses, alias};

const RDS: &str = "mydb.123456789012.eu-west-1.rds.amazonaws.com";

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

async fn found(resolver: &Resolver, name: &str) -> Vec<String> {
    resolver.addresses(&host(name), 5432).await.unwrap().iter().map(ToString::to_string).collect()
}

/// The endpoint that a name leads to, or why not.
async fn led(resolver: &Resolver, name: &str) -> Result<Option<String>, Failure> {
    resolver
        .rds_endpoint(&host(name))
        .await
        .map(|endpoint| endpoint.map(|endpoint| endpoint.as_str().to_owned()))
}

#[tokio::test]
async fn a_name_has_addresses_of_either_family() {
    let server = NameServer::start([
        addresses("both.example", &["192.0.2.1", "2001:db8::1", "192.0.2.2"]),
        addresses("old.example", &["192.0.2.3"]),
        addresses("new.example", &["2001:db8::2"]),
        alias("alias.example", "old.example"),
    ])
    .await;
    let resolver = server.resolver();
    let both = found(&resolver, "both.example").await;
    assert_eq!(both[0], "[2001:db8::1]:5432");
    assert_eq!(both.len(), 3, "{both:?}");
    assert_eq!(found(&resolver, "old.example").await, ["192.0.2.3:5432"]);
    assert_eq!(found(&resolver, "new.example").await, ["[2001:db8::2]:5432"]);
    assert_eq!(found(&resolver, "ALIAS.example.").await, ["192.0.2.3:5432"]);
}

#[tokio::test]
async fn what_was_answered_a_moment_ago_is_not_asked_again() {
    let server = NameServer::start([addresses("db.example", &["192.0.2.1", "2001:db8::1"])]).await;
    let resolver = server.resolver();
    found(&resolver, "db.example").await;
    let asked = server.asked();
    found(&resolver.clone(), "db.example").await;
    assert_eq!(server.asked(), asked);
}

#[tokio::test]
async fn nobody_is_asked_for_this_machine_or_an_address() {
    let server = NameServer::start([]).await;
    let resolver = server.resolver();
    for name in ["localhost", "LOCALHOST.", "db.localhost"] {
        assert_eq!(found(&resolver, name).await, ["[::1]:5432", "127.0.0.1:5432"], "{name}");
        assert_eq!(led(&resolver, name).await, Ok(None), "{name}");
    }
    assert_eq!(found(&resolver, "192.0.2.7").await, ["192.0.2.7:5432"]);
    assert_eq!(found(&resolver, "2001:db8::7").await, ["[2001:db8::7]:5432"]);
    assert_eq!(led(&resolver, "192.0.2.7").await, Ok(None));
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a_name_that_is_not_there_is_told_from_one_without_an_address_and_from_silence() {
    let server =
        NameServer::start([addresses("empty.example", &[]), ("failing.example", Entry::Failing)])
            .await;
    let resolver = server.resolver();
    let refused = async |name: &str| {
        let failure = resolver.addresses(&host(name), 1).await.unwrap_err();
        assert_eq!(failure.class, Class::Unavailable);
        failure.detail
    };
    assert!(refused("missing.example").await.starts_with("there is no host missing.example; "));
    assert!(refused("empty.example").await.starts_with("the host empty.example has no address; "));
    assert!(
        refused("failing.example")
            .await
            .starts_with("the host failing.example can't be looked up: ")
    );
    assert_eq!(led(&resolver, "missing.example").await.unwrap_err().class, Class::Unavailable);
    assert_eq!(led(&resolver, "failing.example").await.unwrap_err().class, Class::Unavailable);
    assert_eq!(
        led(&resolver, "empty.example").await,
        Ok(None),
        "it is there, and an alias of nothing"
    );
}

#[tokio::test]
async fn an_alias_leads_to_the_endpoint_in_every_partition() {
    let endpoints = [
        ("aws.example", RDS),
        ("proxy.example", "proxy.proxy-abc123.us-east-1.rds.amazonaws.com"),
        ("reader.example", "mydb.cluster-ro-abc123.us-east-1.rds.amazonaws.com"),
        ("gov.example", "mydb.abc123.us-gov-west-1.rds.amazonaws.com"),
        ("china.example", "mydb.abc123.cn-north-1.rds.amazonaws.com.cn"),
        ("ningxia.example", "mydb.abc123.rds.cn-northwest-1.amazonaws.com.cn"),
        ("sovereign.example", "mydb.abc123.eusc-de-east-1.rds.amazonaws.eu"),
        ("iso.example", "mydb.abc123.us-iso-east-1.rds.c2s.ic.gov"),
        ("isob.example", "mydb.abc123.us-isob-east-1.rds.sc2s.sgov.gov"),
    ];
    let server = NameServer::start(endpoints.map(|(name, endpoint)| alias(name, endpoint))).await;
    let resolver = server.resolver();
    for (name, endpoint) in endpoints {
        assert_eq!(led(&resolver, name).await, Ok(Some(endpoint.to_owned())));
        let asked = server.asked();
        assert_eq!(led(&resolver, endpoint).await, Ok(Some(endpoint.to_owned())), "its own name");
        assert_eq!(server.asked(), asked, "needs no question");
    }
}

#[tokio::test]
async fn a_chain_is_followed_to_the_first_name_of_rds() {
    let server = NameServer::start([
        alias("db.example", "db.internal.example"),
        alias("db.internal.example", "MyDB.123456789012.eu-west-1.rds.amazonaws.com"),
        alias(RDS, "ec2-192-0-2-1.eu-west-1.compute.amazonaws.com"),
        addresses("ec2-192-0-2-1.eu-west-1.compute.amazonaws.com", &["192.0.2.1"]),
    ])
    .await;
    let resolver = server.resolver();
    assert_eq!(led(&resolver, "DB.example").await, Ok(Some(RDS.to_owned())));
    assert_eq!(found(&resolver, "db.example").await, ["192.0.2.1:5432"]);
}

#[tokio::test]
async fn a_chain_is_followed_so_far_and_no_farther() {
    let names = ["c0.x", "c1.x", "c2.x", "c3.x", "c4.x", "c5.x", "c6.x", "c7.x"];
    let links = names.windows(2).map(|pair| alias(pair[0], pair[1]));
    let server =
        NameServer::start(links.chain([alias("c7.x", RDS), alias("ahead.x", "c0.x")])).await;
    let resolver = server.resolver();
    assert_eq!(led(&resolver, "c0.x").await, Ok(Some(RDS.to_owned())), "eight aliases");
    let failure = led(&resolver, "ahead.x").await.unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    assert!(failure.detail.contains("the chain is too long"), "nine: {failure}");
}

#[tokio::test]
async fn aliases_that_lead_elsewhere_are_shown() {
    let server = NameServer::start([
        alias("one.example", "two.example"),
        alias("two.example", "ONE.example"),
        alias("self.example", "self.example"),
        alias("elsewhere.example", "db.azure.example"),
        addresses("db.azure.example", &["192.0.2.1"]),
        alias("dangling.example", "gone.example"),
        alias("evil.example", "mydb.abc.eu-west-1.rds.amazonaws.com.evil.example"),
        addresses("mydb.abc.eu-west-1.rds.amazonaws.com.evil.example", &["192.0.2.1"]),
        addresses("own.example", &["192.0.2.1"]),
    ])
    .await;
    let resolver = server.resolver();
    let astray = async |name: &str| {
        let failure = led(&resolver, name).await.unwrap_err();
        assert_eq!(failure.class, Class::Configuration, "{failure}");
        failure.detail
    };
    insta::assert_snapshot!(astray("one.example").await, @"the host name does not lead to an RDS endpoint: one.example is an alias of two.example, an alias of one.example, so they go round in a circle; name the RDS endpoint that tokens are to be signed for");
    insta::assert_snapshot!(astray("self.example").await, @"the host name does not lead to an RDS endpoint: self.example is an alias of self.example, so they go round in a circle; name the RDS endpoint that tokens are to be signed for");
    insta::assert_snapshot!(astray("elsewhere.example").await, @"the host name does not lead to an RDS endpoint: elsewhere.example is an alias of db.azure.example, which is not RDS's; name the RDS endpoint that tokens are to be signed for");
    assert!(astray("evil.example").await.contains("which is not RDS's"));
    assert_eq!(led(&resolver, "dangling.example").await.unwrap_err().class, Class::Unavailable);
    assert_eq!(led(&resolver, "own.example").await, Ok(None), "a server of one's own");
}

#[tokio::test]
async fn what_is_written_down_goes_before_dns() {
    let server = NameServer::start([
        addresses("db.example", &["192.0.2.1"]),
        addresses("other.example", &["192.0.2.2"]),
    ])
    .await;
    let Resolver(Source::Given(names)) = server.resolver() else { unreachable!() };
    let mut hosts = Hosts::default();
    hosts
        .read_hosts_conf(b"# a tunnel\n127.0.0.1 db.example\n::1 db.example db # both\n".as_slice())
        .unwrap();
    let resolver = Resolver(Source::Given(Arc::new(Names::new(names.dns.clone(), Some(hosts)))));
    assert_eq!(found(&resolver, "db.example").await, ["[::1]:5432", "127.0.0.1:5432"]);
    assert_eq!(found(&resolver, "DB").await, ["[::1]:5432"]);
    assert_eq!(
        led(&resolver, "db.example").await,
        Ok(None),
        "whoever writes it down means this host"
    );
    assert_eq!(server.asked(), 0);
    assert_eq!(found(&resolver, "other.example").await, ["192.0.2.2:5432"]);
}

#[tokio::test]
async fn the_systems_files_are_read() {
    let resolver = Resolver::system();
    assert_eq!(format!("{resolver:?}"), "Resolver(system)");
    assert!(resolver.names().is_ok());
    let (one, other) = (resolver.names().unwrap(), resolver.clone().names().unwrap());
    assert!(Arc::ptr_eq(&one, &other), "they are read once as long as they stay as they are");
}
