//! Client authentication, and TLS between client and proxy.

use std::process::Command;

use countersign_core::name::Engine;
use countersign_e2e::{CommandOutput, Proxy, ProxyFixture, ServerKind, Stack, postgres, run, ways};
use rustls::pki_types::CertificateDer;

const PASSWORD: &str = "the-callers-own";

/// Writes a self-signed certificate of the proxy for this name and the fixture's address, and
/// returns it.
pub(crate) fn certificate(site: &ProxyFixture, name: &str) -> CertificateDer<'static> {
    let made =
        rcgen::generate_simple_self_signed([name.to_owned(), site.address().to_string()]).unwrap();
    site.write("proxy.pem", &made.cert.pem());
    site.write("proxy.key", &made.signing_key.serialize_pem());
    made.cert.der().clone()
}

fn serve(stack: &Stack, site: &ProxyFixture, lines: &[&str]) -> Proxy {
    site.serve(stack, &stack.target("db", &[&["user = \"app\""], lines].concat()), &[])
}

fn with_password(mut client: Command, kind: ServerKind, password: &str) -> CommandOutput {
    run(client
        .env(if kind.engine() == Engine::Postgres { "PGPASSWORD" } else { "MYSQL_PWD" }, password))
}

#[test]
fn password_authentication_admits_only_the_configured_password() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        site.write("access", &format!("{PASSWORD}\n"));
        let _proxy = serve(
            &stack,
            &site,
            &["client-auth = { password-file = \"access\" }", "pool = \"off\""],
        );
        let client = || site.client(kind, "app", kind.whoami());
        // Two logins: caching_sha2_password caches the result of the first.
        for _ in 0..2 {
            let output = with_password(client(), kind, PASSWORD);
            assert_eq!(output.out, "app", "{output:?}");
        }
        let before = stack.decisions("app").len();
        for wrong in ["hunter2", ""] {
            let output = with_password(client(), kind, wrong);
            assert!(!output.ok, "{output:?}");
            let words = if kind.engine() == Engine::Postgres {
                "password"
            } else {
                "ERROR 1045 (28000): Access denied for user 'app'"
            };
            assert!(output.err.contains(words), "{output:?}");
            assert!(
                !output.err.contains("check, in this order"),
                "the error concerns the client's password, not IAM: {output:?}"
            );
        }
        assert_eq!(stack.decisions("app").len(), before, "rejected clients cause no login");
    }
}

#[test]
fn each_mysql_authentication_plugin_is_accepted() {
    for kind in ways().into_iter().filter(|kind| kind.engine() != Engine::Postgres) {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        site.write("access", PASSWORD);
        let _proxy = serve(&stack, &site, &["client-auth = { password-file = \"access\" }"]);
        // Each installed client with each of its default plugins.
        for (client, plugins) in [
            (ServerKind::Mariadb, ["mysql_native_password", "caching_sha2_password"].as_slice()),
            (ServerKind::Mysql, ["caching_sha2_password"].as_slice()),
        ] {
            if !ways().contains(&client) {
                continue;
            }
            for plugin in plugins {
                let mut command = site.client(client, "app", "SELECT CURRENT_USER()");
                command.args([
                    &format!("--default-auth={plugin}"),
                    &format!("--port={}", kind.engine().default_port()),
                ]);
                let output = with_password(command, kind, PASSWORD);
                assert_eq!(output.out, "app@%", "{client:?} with {plugin} to {kind:?}: {output:?}");
            }
        }
    }
}

#[test]
fn clients_verify_the_certificate_of_the_proxy() {
    for kind in ways() {
        let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
        let _certificate = certificate(&site, "proxy.test");
        let _proxy = serve(
            &stack,
            &site,
            &["client-tls = { certificate = \"proxy.pem\", key = \"proxy.key\", required = true }"],
        );
        let ca = site.path("proxy.pem").display().to_string();
        let client = |sql| site.client(kind, "app", sql);
        let (verified, plain) = match kind.engine() {
            Engine::Postgres => {
                let mut verified = client("SELECT current_user");
                verified.env("PGHOST", "proxy.test").env("PGHOSTADDR", site.address().to_string());
                verified.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca);
                let mut other = client("SELECT current_user");
                other.env("PGHOST", "other.test").env("PGHOSTADDR", site.address().to_string());
                let other = run(other.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &ca));
                assert!(other.err.contains("does not match host name"), "{other:?}");
                let mut plain = client("SELECT 1");
                plain.env("PGSSLMODE", "disable");
                (run(&mut verified), run(&mut plain))
            }
            Engine::Mariadb => {
                let verified = run(client("SELECT LEFT(CURRENT_USER(), 3)")
                    .args(["--ssl-verify-server-cert", &format!("--ssl-ca={ca}")]));
                (verified, run(client("SELECT 1").arg("--skip-ssl")))
            }
            Engine::Mysql => {
                let verified = run(client("SELECT LEFT(CURRENT_USER(), 3)")
                    .args(["--ssl-mode=VERIFY_IDENTITY", &format!("--ssl-ca={ca}")]));
                (verified, run(client("SELECT 1").arg("--ssl-mode=DISABLED")))
            }
        };
        assert_eq!(verified.out, "app", "{verified:?}");
        assert!(!plain.ok && (plain.err.contains("TLS") || plain.err.contains("SSL")), "{plain:?}");
    }
}

#[test]
fn scram_supports_channel_binding_over_tls() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let _certificate = certificate(&site, "proxy.test");
    site.write("access", PASSWORD);
    let lines = [
        "client-auth = { password-file = \"access\" }",
        "client-tls = { certificate = \"proxy.pem\", key = \"proxy.key\" }",
    ];
    let _proxy = serve(&stack, &site, &lines);
    let login = |mode, binding| {
        let mut client = site.client(kind, "app", "SELECT current_user");
        with_password(
            std::mem::replace(
                client.env("PGSSLMODE", mode).env("PGCHANNELBINDING", binding),
                Command::new("true"),
            ),
            kind,
            PASSWORD,
        )
    };
    assert_eq!(login("require", "require").out, "app");
    assert_eq!(login("disable", "disable").out, "app", "TLS is optional");
    let unbound = login("disable", "require");
    assert!(unbound.err.contains("channel binding"), "{unbound:?}");
}

#[test]
fn unix_socket_admits_only_the_configured_system_users() {
    let Some(kind) = postgres() else { return };
    let (stack, site) = (Stack::up(kind, &[]), ProxyFixture::default());
    let login = |name: &str| {
        let (directory, port) = (site.path(name), "5432");
        run(site
            .client(kind, "app", "SELECT current_user")
            .env("PGHOST", directory)
            .env("PGPORT", port))
    };
    let me = rustix::process::geteuid().as_raw();
    let listen = |name: &str, user: u32| {
        let lines = [
            &*format!("listen = \"unix:{name}/.s.PGSQL.5432\""),
            &*format!("client-auth = {{ users = [{user}] }}"),
            "user = \"app\"",
        ];
        stack.target(name, &lines)
    };
    let _proxy =
        site.serve(&stack, &format!("{}{}", listen("mine", me), listen("others", me + 1)), &[]);
    let output = login("mine");
    assert_eq!(output.out, "app", "{output:?}");
    let output = login("others");
    assert!(!output.ok, "{output:?}");
}
