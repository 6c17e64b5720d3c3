use chrono::{TimeDelta, Utc};
use serde_json::json;
use towline_shared::metrics::{ContainerSample, Health, HostSample, Sample};

use crate::host::{Host, enrol};
use crate::world::{Somebody, World};

fn sample() -> Sample {
    Sample {
        at_ms: Utc::now().timestamp_millis(),
        host: HostSample {
            cpu_percent: 12.5,
            cores: 4,
            memory_used: 1024,
            net_received: 77,
            ..HostSample::default()
        },
        containers: vec![ContainerSample {
            id: "0123".into(),
            name: "shop-web-1".into(),
            project: "shop".into(),
            service: "we\"b".into(),
            cpu_percent: 150.0,
            restarts: 3,
            health: Health::Unhealthy,
            ..ContainerSample::default()
        }],
    }
}

async fn measured(world: &World, ada: &Somebody<'_>, host: &Host) {
    let me = ada.get("/api/v1/me").await.expect(200);
    let team = me["team"]["id"].as_str().unwrap().parse().unwrap();
    world.store.record_sample(host.agent, team, sample());
    world.store.flush_metrics().await.unwrap();
}

#[tokio::test]
async fn what_was_measured_is_read_by_range_and_latest() {
    let world = World::open().await;
    let ada = world.first().await;
    let host = Host::connect(&ada, &world, "web-1").await;
    let path = format!("/api/v1/targets/{}/metrics", host.target);
    assert_eq!(ada.get(&path).await.expect(200)["host"], json!([]));
    measured(&world, &ada, &host).await;
    let from = (Utc::now() - TimeDelta::minutes(5)).format("%Y-%m-%dT%H:%M:%SZ");
    let range = ada.get(&format!("{path}?from={from}")).await.expect(200);
    assert_eq!(range["step_s"], 10);
    assert_eq!(range["host"][0]["cpu_percent"], 12.5);
    assert!(range["host"][0]["at"].is_string());
    assert_eq!(range["containers"]["shop-web-1"][0]["restarts"], 3);
    let past = format!("{path}?from=2020-01-01T00:00:00Z&to=2020-01-01T01:00:00Z");
    assert_eq!(ada.get(&past).await.expect(200)["host"], json!([]));
    for (query, field) in [
        ("from=yesterday", "from"),
        ("from=2020-01-02T00:00:00Z&to=2020-01-01T00:00:00Z", "from"),
        ("step=0", "step"),
        ("step=x", "step"),
        ("until=2020-01-01T00:00:00Z", "until"),
    ] {
        assert_eq!(
            ada.get(&format!("{path}?{query}")).await.expect(422)["field"],
            field,
            "{query}"
        );
    }

    let latest = ada.get("/api/v1/metrics/latest").await.expect(200);
    let latest = &latest["items"][0];
    assert_eq!(
        (&latest["name"], &latest["status"]),
        (&json!("web-1"), &json!("online"))
    );
    assert_eq!(latest["containers"][0]["health"], "unhealthy");
    let bob = world.another("owner").await;
    assert_eq!(
        bob.get("/api/v1/metrics/latest").await.expect(200)["items"],
        json!([])
    );
}

#[tokio::test]
async fn prometheus_sees_every_host_and_container() {
    let world = World::open().await;
    let ada = world.first().await;
    let host = Host::connect(&ada, &world, "web-1").await;
    let (_, _, _) = enrol(&ada, &world, "web-2").await;
    measured(&world, &ada, &host).await;
    let answer = ada.get("/api/v1/metrics/prometheus").await;
    assert_eq!(
        answer.headers["content-type"],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let text = answer.text();
    for line in [
        "# TYPE towline_agent_up gauge",
        r#"towline_agent_up{agent="web-1",host="host \"1\""} 1"#,
        r#"towline_agent_up{agent="web-2",host="host \"1\""} 0"#,
        r#"towline_host_cpu_usage_ratio{agent="web-1",host="host \"1\""} 0.125"#,
        "# TYPE towline_host_network_received_bytes_total counter",
        r#"towline_host_network_received_bytes_total{agent="web-1",host="host \"1\""} 77"#,
        r#"towline_container_cpu_usage_cores{agent="web-1",host="host \"1\"",container="shop-web-1",project="shop",service="we\"b"} 1.5"#,
        r#"towline_container_restarts_total{agent="web-1",host="host \"1\"",container="shop-web-1",project="shop",service="we\"b"} 3"#,
        r#"towline_container_healthy{agent="web-1",host="host \"1\"",container="shop-web-1",project="shop",service="we\"b"} 0"#,
    ] {
        assert!(
            text.lines().any(|there| there == line),
            "{line} is not in\n{text}"
        );
    }
    assert!(
        !text.contains("towline_host_cpu_cores{agent=\"web-2\""),
        "nothing was measured there"
    );
    for family in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = family.split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{family}");
        assert!(text.contains(&format!("# HELP {name} ")), "{family}");
    }
    let bob = world.another("owner").await;
    let foreign = bob.get("/api/v1/metrics/prometheus").await;
    assert!(!foreign.text().contains("web-1"));
}
