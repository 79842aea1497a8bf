use super::Region;

fn region_of(host: &str) -> Option<String> {
    Region::of_rds_host(host).map(|region| region.to_string())
}

#[test]
fn region_is_derived_from_hosts_of_every_partition() {
    for (host, region) in [
        ("mydb.123456789012.us-east-1.rds.amazonaws.com", "us-east-1"),
        ("MyDb.ABC.EU-West-1.RDS.amazonaws.com", "eu-west-1"),
        ("c.cluster-ro-abc.ap-southeast-2.rds.amazonaws.com.", "ap-southeast-2"),
        ("p.proxy-abc.us-east-2.rds.amazonaws.com", "us-east-2"),
        ("mydb.abc.rds.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("mydb.abc.cn-northwest-1.rds.amazonaws.com.cn", "cn-northwest-1"),
        ("mydb.abc.us-gov-west-1.rds.amazonaws.com", "us-gov-west-1"),
        ("mydb.abc.eusc-de-east-1.rds.amazonaws.eu", "eusc-de-east-1"),
        ("mydb.abc.us-iso-east-1.rds.c2s.ic.gov", "us-iso-east-1"),
        ("mydb.abc.us-isob-east-1.rds.sc2s.sgov.gov", "us-isob-east-1"),
        ("mydb.abc.eu-isoe-west-1.rds.cloud.adc-e.uk", "eu-isoe-west-1"),
        ("mydb.abc.us-isof-south-1.rds.csp.hci.ic.gov", "us-isof-south-1"),
    ] {
        assert_eq!(region_of(host).as_deref(), Some(region), "{host}");
    }
}

#[test]
fn other_hosts_have_no_region() {
    for host in [
        "localhost",
        "db.example.com",
        "rds.amazonaws.com",
        "amazonaws.com",
        "x.rds.amazonaws.com.evil.net",
        "evilamazonaws.com",
    ] {
        assert_eq!(region_of(host), None, "{host}");
    }
}

#[test]
fn partition_is_derived_from_the_region() {
    for (region, partition) in [
        ("us-east-1", "aws"),
        ("cn-north-1", "aws-cn"),
        ("us-gov-east-1", "aws-us-gov"),
        ("eusc-de-east-1", "aws-eusc"),
        ("us-iso-west-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"),
        ("eu-isoe-west-1", "aws-iso-e"),
        ("eu-isof-south-1", "aws-iso-f"),
    ] {
        let found = region.parse::<Region>().unwrap().partition();
        assert_eq!(found.as_str(), partition);
        assert_eq!(partition.parse(), Ok(found));
    }
}
