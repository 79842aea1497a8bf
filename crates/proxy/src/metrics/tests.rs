use std::time::Duration;

use countersign_core::failure::Class;

use super::*;

#[test]
fn a_target_has_the_same_counters_each_time() {
    let metrics = Metrics::default();
    metrics.target("orders").accepted.inc();
    metrics.target("orders").accepted.inc();
    assert_eq!(metrics.clone().target("orders").accepted.get(), 2);
    metrics.forget("orders");
    assert_eq!(metrics.target("orders").accepted.get(), 0);
}

#[test]
fn a_gauge_counts_what_is_held() {
    let gauge = Gauge::default();
    let held = (gauge.hold(), gauge.hold());
    assert_eq!(gauge.get(), 2);
    drop(held);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn prometheus_reads_all_of_it() {
    let metrics = Metrics::default();
    metrics.proxy().draining.set(1);
    let target = metrics.target("orders \"eu\"");
    target.to_server.add(7);
    target.refuse(Class::TimedOut);
    target.cut.of(Cut::Drain).inc();
    target.ready_time.observe(Duration::from_micros(1_500));
    target.ready_time.observe(Duration::from_secs(60));
    let text = metrics.encode(Format::OpenMetrics).expect("text");
    for line in [
        "countersign_proxy_draining 1",
        r#"countersign_proxy_transferred_bytes_total{target="orders \"eu\"",direction="to-server"} 7"#,
        r#"countersign_proxy_connections_refused_total{target="orders \"eu\"",class="timed-out"} 1"#,
        r#"countersign_proxy_sessions_cut_total{target="orders \"eu\"",reason="drain"} 1"#,
        r#"countersign_proxy_ready_duration_seconds_count{target="orders \"eu\""} 2"#,
        r#"countersign_proxy_ready_duration_seconds_sum{target="orders \"eu\""} 60.0015"#,
        r#"countersign_proxy_ready_duration_seconds_bucket{le="0.001",target="orders \"eu\""} 0"#,
        r#"countersign_proxy_ready_duration_seconds_bucket{le="0.0025",target="orders \"eu\""} 1"#,
        r#"countersign_proxy_ready_duration_seconds_bucket{le="+Inf",target="orders \"eu\""} 2"#,
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}

#[test]
fn every_metric_is_written_in_both_formats() {
    let metrics = Metrics::default();
    let target = metrics.target("orders");
    for failures in [&target.refused, &target.login_failures] {
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
fn whoever_asks_for_openmetrics_gets_it() {
    assert_eq!(Format::accepted(None), Format::Prometheus);
    assert_eq!(Format::accepted(Some("*/*")), Format::Prometheus);
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.3";
    assert_eq!(Format::accepted(Some(prometheus)), Format::OpenMetrics);
}

#[test]
fn a_failure_of_any_class_is_counted_once() {
    let failures = Failures::default();
    Class::ALL.into_iter().for_each(|class| failures.count(class));
    assert_eq!(failures.each().collect::<Vec<_>>(), Class::ALL.map(|class| (class, 1)));
}

#[test]
fn the_documentation_has_each_metric_and_no_other() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy-operations.md");
    let text = std::fs::read_to_string(path).expect("docs/proxy-operations.md");
    let documented =
        text.lines().filter_map(|line| line.strip_prefix("| `countersign_proxy_")?.split_once('`'));
    let mut documented: Vec<String> =
        documented.map(|(name, _)| format!("countersign_proxy_{name}")).collect();
    let mut told = families::names();
    documented.sort();
    told.sort();
    assert_eq!(documented, told);
}
