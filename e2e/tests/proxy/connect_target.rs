//! `countersign connect NAME`: a temporary listener for one target, compatible with hoop.

use countersign_core::name::Engine;
use countersign_e2e::{ProxyFixture, Stack, run, wait_until, ways};
use rustix::process::Signal;

#[test]
fn hoop_target_is_open_until_its_duration_elapses() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let env = stack.env(&[]);
        let [host, port, ca] = kind.variables().map(|name| &env[name]);
        let mut target = format!(
            "[targets.demo]\nHOST = \"{host}\"\nPORT = \"{port}\"\nUSER = \
             \"_aws_iam_rds:app\"\nPASS = \"_aws_iam_rds:authtoken\"\nca-file = \"{ca}\"\n"
        );
        target.push_str(match kind.engine() {
            Engine::Postgres => "DB = \"postgres\"\nSSLMODE = \"verify-full\"\n",
            Engine::Mariadb => "DB = \"app\"\nengine = \"mariadb\"\n",
            Engine::Mysql => "DB = \"app\"\nengine = \"mysql\"\n",
        });
        site.write("countersign.toml", &target);
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
            .to_string();
        let connect = |time: &str| {
            let mut command = countersign_e2e::countersign();
            command
                .args(["connect", "demo", "-p", &free, "-d", time])
                .current_dir(site.path(""))
                .env("HOME", site.path(""));
            command.envs(env.iter().filter(|(name, _)| name.starts_with("AWS_")));
            command
        };
        let login = || {
            let mut client = site.client(kind, "other", "SELECT 1");
            match kind.engine() {
                Engine::Postgres => run(client.env("PGHOST", "127.0.0.1").env("PGPORT", &free)),
                Engine::Mariadb | Engine::Mysql => {
                    run(client.args(["--host=127.0.0.1", &format!("--port={free}")]))
                }
            }
        };
        let open = site.spawn(&mut connect("1h"));
        let output = open.says(&format!("port={free}"));
        assert!(output.contains("user=app") && output.contains("password=noop"), "{output}");
        let _said = open.says("ready for 1h");
        let output = login();
        assert_eq!(output.out, "1", "{output:?}");
        open.signal(Signal::INT);
        assert_eq!(open.end(), 0);
        assert!(!login().ok);

        let short = site.spawn(&mut connect("10s"));
        let _said = short.says("ready for 10s");
        assert!(login().ok);
        wait_until("the end of the duration", || short.log().contains("time limit reached"));
        assert_eq!(short.end(), 0);
        assert!(!login().ok);
    }
}
