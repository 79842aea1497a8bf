#![allow(clippy::all, clippy::unwrap_used, missing_docs)]
use std::sync::Arc; use std::time::Duration;
use countersign_gateway::{settings::*, *};
use countersign_connect::{clock::Clock, resolve::Resolver, tls::Verification};
use countersign_core::credentials::Secret;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let get = |k: &str| a.iter().position(|x| x == k).map(|i| a[i + 1].clone());
    let rt = if get("--threads").as_deref() == Some("1") { tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() } else { tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap() };
    let engine = get("--engine").unwrap_or("postgres".into()).parse().unwrap();
    let (h, p) = { let u = get("--upstream").unwrap(); let (h, p) = u.rsplit_once(':').unwrap(); (h.to_string(), p.parse().unwrap()) };
    let target = Target {
        name: "t".into(), engine, host: h.parse().unwrap(), port: p, sign: None, region: None, user: get("--user").map(|u| u.parse().unwrap()), database: None,
        login: match get("--password") { Some(p) => Login::Password(Arc::new(Password(Secret::new(p).unwrap()))), None => Login::Iam(Default::default()) },
        tls: ServerTls { verification: if get("--back").as_deref() == Some("plain") { Verification::Off } else if get("--ca").is_some() { Verification::Full } else { Verification::Encrypt }, roots: get("--ca").map(Into::into) },
        role: Role::Any, listen: get("--listen").unwrap().split(',').map(|l| if l.starts_with('/') { Listen::Unix(l.into()) } else { Listen::Tcp(l.parse().unwrap()) }).collect(), access: match get("--caller-password") { Some(p) => Access::Password(Arc::new(Password(Secret::new(p).unwrap()))), None => Access::Open },
        client_tls: get("--cert").map(|c| ClientTls { certificate: c.into(), key: get("--key").unwrap().into(), required: false }),
        pool: Pool { warm: get("--warm").map_or(0, |w| w.parse().unwrap()), reuse: a.contains(&"--reuse".to_string()), most_idle: 200, idle_timeout: Duration::from_secs(60), lifetime: Duration::from_secs(3600) },
        max_connections: 0, logins_per_second: 0, connect_timeout: Duration::from_secs(30), session_timeout: None,
    };
    rt.block_on(async {
        let (proxy, problems) = Proxy::start(Settings { targets: vec![target], max_connections: 0, login_timeout: Duration::from_secs(60) }, Context { clock: Clock::system(), resolver: Resolver::system(), environment_region: std::env::var("AWS_REGION").ok() }, Vec::new()).await;
        for p in problems { eprintln!("{p}"); }
        println!("{:?}", proxy.places());
        tokio::signal::ctrl_c().await.unwrap();
        println!("{}", serde_json::to_string_pretty(&proxy.status()).unwrap());
        println!("cut {}", proxy.drain(Duration::from_secs(2)).await);
    });
}
