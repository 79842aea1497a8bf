mod nameserver;

use hickory_resolver::Hosts;

use super::*;
use nameserver::{Entry, NameServer, addresses, alias};

const RDS: &str = "mydb.123456789012.eu-west-1.rds.amazonaws.com";

fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

async fn addresses_of(resolver: &Resolver, name: &str) -> Vec<String> {
    resolver.addresses(&host(name), 5432).await.unwrap().iter().map(ToString::to_string).collect()
}

/// Returns the RDS endpoint of a name, or the error.
async fn endpoint_of(resolver: &Resolver, name: &str) -> Result<Option<String>, Failure> {
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
    let both = addresses_of(&resolver, "both.example").await;
    assert_eq!(both[0], "[2001:db8::1]:5432");
    assert_eq!(both.len(), 3, "{both:?}");
    assert_eq!(addresses_of(&resolver, "old.example").await, ["192.0.2.3:5432"]);
    assert_eq!(addresses_of(&resolver, "new.example").await, ["[2001:db8::2]:5432"]);
    assert_eq!(addresses_of(&resolver, "ALIAS.example.").await, ["192.0.2.3:5432"]);
}

#[tokio::test]
async fn answers_are_cached() {
    let server = NameServer::start([addresses("db.example", &["192.0.2.1", "2001:db8::1"])]).await;
    let resolver = server.resolver();
    addresses_of(&resolver, "db.example").await;
    let before = server.queries();
    addresses_of(&resolver.clone(), "db.example").await;
    assert_eq!(server.queries(), before);
}

#[tokio::test]
async fn localhost_and_addresses_need_no_lookup() {
    let server = NameServer::start([]).await;
    let resolver = server.resolver();
    for name in ["localhost", "LOCALHOST.", "db.localhost"] {
        assert_eq!(addresses_of(&resolver, name).await, ["[::1]:5432", "127.0.0.1:5432"], "{name}");
        assert_eq!(endpoint_of(&resolver, name).await, Ok(None), "{name}");
    }
    assert_eq!(addresses_of(&resolver, "192.0.2.7").await, ["192.0.2.7:5432"]);
    assert_eq!(addresses_of(&resolver, "2001:db8::7").await, ["[2001:db8::7]:5432"]);
    assert_eq!(endpoint_of(&resolver, "192.0.2.7").await, Ok(None));
    assert_eq!(server.queries(), 0);
}

#[tokio::test]
async fn missing_names_names_without_addresses_and_failures_have_different_errors() {
    let server =
        NameServer::start([addresses("empty.example", &[]), ("failing.example", Entry::Failing)])
            .await;
    let resolver = server.resolver();
    let lookup_error = async |name: &str| {
        let failure = resolver.addresses(&host(name), 1).await.unwrap_err();
        assert_eq!(failure.class, Class::Unavailable);
        failure.detail
    };
    assert!(
        lookup_error("missing.example")
            .await
            .starts_with("cannot resolve missing.example: no such host; ")
    );
    assert!(
        lookup_error("empty.example")
            .await
            .starts_with("cannot resolve empty.example: the name has no address; ")
    );
    assert!(lookup_error("failing.example").await.starts_with("cannot resolve failing.example: "));
    assert_eq!(
        endpoint_of(&resolver, "missing.example").await.unwrap_err().class,
        Class::Unavailable
    );
    assert_eq!(
        endpoint_of(&resolver, "failing.example").await.unwrap_err().class,
        Class::Unavailable
    );
    assert_eq!(
        endpoint_of(&resolver, "empty.example").await,
        Ok(None),
        "the name exists and is not an alias"
    );
}

#[tokio::test]
async fn aliases_resolve_to_endpoints_of_every_partition() {
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
        assert_eq!(endpoint_of(&resolver, name).await, Ok(Some(endpoint.to_owned())));
        let before = server.queries();
        assert_eq!(
            endpoint_of(&resolver, endpoint).await,
            Ok(Some(endpoint.to_owned())),
            "its own name"
        );
        assert_eq!(server.queries(), before, "needs no query");
    }
}

#[tokio::test]
async fn a_chain_is_followed_to_its_first_rds_endpoint() {
    let server = NameServer::start([
        alias("db.example", "db.internal.example"),
        alias("db.internal.example", "MyDB.123456789012.eu-west-1.rds.amazonaws.com"),
        alias(RDS, "ec2-192-0-2-1.eu-west-1.compute.amazonaws.com"),
        addresses("ec2-192-0-2-1.eu-west-1.compute.amazonaws.com", &["192.0.2.1"]),
    ])
    .await;
    let resolver = server.resolver();
    assert_eq!(endpoint_of(&resolver, "DB.example").await, Ok(Some(RDS.to_owned())));
    assert_eq!(addresses_of(&resolver, "db.example").await, ["192.0.2.1:5432"]);
}

#[tokio::test]
async fn the_length_of_a_chain_is_limited() {
    let names = ["c0.x", "c1.x", "c2.x", "c3.x", "c4.x", "c5.x", "c6.x", "c7.x"];
    let links = names.windows(2).map(|pair| alias(pair[0], pair[1]));
    let server =
        NameServer::start(links.chain([alias("c7.x", RDS), alias("ahead.x", "c0.x")])).await;
    let resolver = server.resolver();
    assert_eq!(endpoint_of(&resolver, "c0.x").await, Ok(Some(RDS.to_owned())), "eight aliases");
    let failure = endpoint_of(&resolver, "ahead.x").await.unwrap_err();
    assert_eq!(failure.class, Class::Configuration);
    assert!(failure.detail.contains("the chain is too long"), "nine: {failure}");
}

#[tokio::test]
async fn errors_show_the_chain_of_aliases() {
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
    let error_of = async |name: &str| {
        let failure = endpoint_of(&resolver, name).await.unwrap_err();
        assert_eq!(failure.class, Class::Configuration, "{failure}");
        failure.detail
    };
    insta::assert_snapshot!(error_of("one.example").await, @"cannot find the RDS endpoint: one.example is an alias of two.example, an alias of one.example, which is a loop; set sign-host to the RDS endpoint that tokens are signed for");
    insta::assert_snapshot!(error_of("self.example").await, @"cannot find the RDS endpoint: self.example is an alias of self.example, which is a loop; set sign-host to the RDS endpoint that tokens are signed for");
    insta::assert_snapshot!(error_of("elsewhere.example").await, @"cannot find the RDS endpoint: elsewhere.example is an alias of db.azure.example, which is not an RDS endpoint; set sign-host to the RDS endpoint that tokens are signed for");
    assert!(error_of("evil.example").await.contains("which is not an RDS endpoint"));
    assert_eq!(
        endpoint_of(&resolver, "dangling.example").await.unwrap_err().class,
        Class::Unavailable
    );
    assert_eq!(endpoint_of(&resolver, "own.example").await, Ok(None), "a self-managed server");
}

#[tokio::test]
async fn the_hosts_file_takes_precedence_over_dns() {
    let server = NameServer::start([
        addresses("db.example", &["192.0.2.1"]),
        addresses("other.example", &["192.0.2.2"]),
    ])
    .await;
    let Resolver(Source::Static(names)) = server.resolver() else { unreachable!() };
    let mut hosts = Hosts::default();
    hosts
        .read_hosts_conf(b"# a tunnel\n127.0.0.1 db.example\n::1 db.example db # both\n".as_slice())
        .unwrap();
    let resolver = Resolver(Source::Static(Arc::new(Names::new(names.dns.clone(), Some(hosts)))));
    assert_eq!(addresses_of(&resolver, "db.example").await, ["[::1]:5432", "127.0.0.1:5432"]);
    assert_eq!(addresses_of(&resolver, "DB").await, ["[::1]:5432"]);
    assert_eq!(
        endpoint_of(&resolver, "db.example").await,
        Ok(None),
        "an entry of the hosts file is not an alias"
    );
    assert_eq!(server.queries(), 0);
    assert_eq!(addresses_of(&resolver, "other.example").await, ["192.0.2.2:5432"]);
}

#[tokio::test]
async fn the_system_files_are_read() {
    let resolver = Resolver::system();
    assert_eq!(format!("{resolver:?}"), "Resolver(system)");
    assert!(resolver.names().is_ok());
    let (one, other) = (resolver.names().unwrap(), resolver.clone().names().unwrap());
    assert!(Arc::ptr_eq(&one, &other), "unchanged files are read once");
}
