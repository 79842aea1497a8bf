use std::time::Duration;

use countersign_core::failure::Class;

use super::*;

#[test]
fn targets_keep_their_counters_until_they_are_removed() {
    let metrics = Metrics::default();
    metrics.target("orders").accepted.inc();
    metrics.target("orders").accepted.inc();
    assert_eq!(metrics.clone().target("orders").accepted.get(), 2);
    metrics.remove_target("orders");
    assert_eq!(metrics.target("orders").accepted.get(), 0);
}

#[test]
fn a_gauge_counts_its_guards() {
    let gauge = Gauge::default();
    let guards = (gauge.guard(), gauge.guard());
    assert_eq!(gauge.get(), 2);
    drop(guards);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn metrics_are_encoded_for_prometheus() {
    let metrics = Metrics::default();
    metrics.proxy().draining.set(1);
    let target = metrics.target("orders \"eu\"");
    target.bytes_to_server.add(7);
    target.rejected.count(Class::TimedOut);
    target.terminated.by(TerminationReason::Drain).inc();
    target.client_connect_duration.observe(Duration::from_micros(1_500));
    target.client_connect_duration.observe(Duration::from_secs(60));
    let text = metrics.encode(Format::OpenMetrics).expect("text");
    for line in [
        "draining 1",
        r#"transferred_bytes_total{TARGET,direction="to-server"} 7"#,
        r#"connections_rejected_total{TARGET,class="timed-out"} 1"#,
        r#"sessions_terminated_total{TARGET,reason="drain"} 1"#,
        "client_connect_duration_seconds_count{TARGET} 2",
        "client_connect_duration_seconds_sum{TARGET} 60.0015",
        r#"client_connect_duration_seconds_bucket{le="0.001",TARGET} 0"#,
        r#"client_connect_duration_seconds_bucket{le="0.0025",TARGET} 1"#,
        r#"client_connect_duration_seconds_bucket{le="+Inf",TARGET} 2"#,
    ] {
        let line = line.replace("TARGET", r#"target="orders \"eu\"""#);
        let line = format!("countersign_proxy_{line}");
        assert!(text.lines().any(|found| found == line), "missing: {line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn every_metric_is_written_in_both_formats() {
    let metrics = Metrics::default();
    let target = metrics.target("orders");
    for failures in [&target.rejected, &target.login_failures] {
        failures.count(Class::Internal);
    }
    for format in [Format::OpenMetrics, Format::Prometheus] {
        let text = metrics.encode(format).expect("text");
        for name in families::names() {
            assert!(text.lines().any(|line| line.starts_with(&name)), "{name} is not in\n{text}");
        }
    }
}

#[test]
fn the_accept_header_selects_openmetrics() {
    assert_eq!(Format::accepted(None), Format::Prometheus);
    assert_eq!(Format::accepted(Some("*/*")), Format::Prometheus);
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
}

#[test]
fn each_class_of_failure_has_its_own_counter() {
    let failures = Failures::default();
    Class::ALL.into_iter().for_each(|class| failures.count(class));
    assert_eq!(failures.totals().collect::<Vec<_>>(), Class::ALL.map(|class| (class, 1)));
}

#[test]
fn the_documentation_lists_exactly_the_exported_metrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy-operations.md");
    let text = std::fs::read_to_string(path).expect("docs/proxy-operations.md");
    let documented =
        text.lines().filter_map(|line| line.strip_prefix("| `countersign_proxy_")?.split_once('`'));
    let mut documented: Vec<String> =
        documented.map(|(name, _)| format!("countersign_proxy_{name}")).collect();
    let mut exported = families::names();
    documented.sort();
    exported.sort();
    assert_eq!(documented, exported);
}
