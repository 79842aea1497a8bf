use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::ServerName;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::sign::CertifiedKey;
use rustls::{ClientConnection, HandshakeKind, ServerConnection};
use tempfile::TempDir;

use super::*;

const HOST: &str = "db.example";

/// A CA, and a directory for the certificates it issues.
struct Authority {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: PathBuf,
}

impl Authority {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let root = directory.path().join("root.pem");
        fs::write(&root, certificate.pem()).unwrap();
        Self { directory, issuer: Issuer::new(params, key), root }
    }

    fn roots(&self) -> Roots {
        Roots::from_file(&self.root).unwrap()
    }

    /// Issues a certificate for a host; returns the files of certificate and key.
    fn sign(&self, host: &str, until: i32) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let [certificate_path, key_path] =
            ["pem", "key"].map(|kind| self.directory.path().join(format!("{host}-{until}.{kind}")));
        fs::write(&certificate_path, certificate.pem()).unwrap();
        fs::write(&key_path, key.serialize_pem()).unwrap();
        (certificate_path, key_path)
    }

    fn server(&self, host: &str, until: i32) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(host, until);
        server_config(&certificate, &key, &[b"postgresql"]).unwrap().0
    }
}

/// Runs the handshake to its end.
fn handshake(
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let mut client = ClientConnection::new(client, ServerName::try_from(HOST).unwrap())?;
    let mut server = ServerConnection::new(server)?;
    loop {
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut asked).unwrap();
        }
        while server.wants_write() {
            server.write_tls(&mut answered).unwrap();
        }
        if asked.is_empty() && answered.is_empty() {
            return Ok((client, server));
        }
        let mut rest = asked.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut rest = answered.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
}

#[test]
fn a_certificate_is_verified_as_configured() {
    let (ours, other) = (Authority::new(), Authority::new());
    let right = ours.server(HOST, 4000);
    let misnamed = ours.server("other.example", 4000);
    let untrusted = other.server(HOST, 4000);
    let ended = ours.server(HOST, 2020);
    let believed = |verification| {
        let client = client_config(verification, &ours.roots(), &[]).unwrap();
        [&right, &misnamed, &untrusted, &ended]
            .map(|server| handshake(Arc::clone(&client), Arc::clone(server)).is_ok())
    };
    assert_eq!(believed(Verification::VerifyFull), [true, false, false, false]);
    assert_eq!(believed(Verification::VerifyCa), [true, true, false, false]);
    assert_eq!(believed(Verification::Require), [true; 4]);
}

#[test]
fn disabled_tls_has_no_configuration() {
    let failure = client_config(Verification::Disable, &Roots::built_in(), &[]).unwrap_err();
    assert_eq!(failure.class, Class::NoTls);
}

/// A certificate is public: a server must prove possession of its key, whatever else is verified.
#[test]
fn a_certificate_without_its_key_is_rejected() {
    let authority = Authority::new();
    let (certificate, _) = authority.sign(HOST, 4000);
    let (_, stolen) = authority.sign("other.example", 4000);
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::from_pem_file(stolen).unwrap())
        .unwrap();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut resolver = ResolvesServerCertUsingSni::new();
        resolver
            .add(HOST, CertifiedKey::new(certificates(&certificate).unwrap(), Arc::clone(&key)))
            .unwrap();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap();
        let server = Arc::new(builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver)));
        for verification in
            [Verification::VerifyFull, Verification::VerifyCa, Verification::Require]
        {
            let client = client_config(verification, &authority.roots(), &[]).unwrap();
            let error = handshake(client, Arc::clone(&server)).unwrap_err();
            assert!(
                error.to_string().contains("signature") || error.to_string().contains("Signature"),
                "{verification:?}: {error}"
            );
        }
    }
}

#[test]
fn both_sides_negotiate_the_alpn_protocol() {
    let authority = Authority::new();
    let server = authority.server(HOST, 4000);
    let client =
        |alpn: &[&[u8]]| client_config(Verification::VerifyFull, &authority.roots(), alpn).unwrap();
    let (connected, accepted) = handshake(client(&[b"postgresql"]), Arc::clone(&server)).unwrap();
    assert_eq!(
        (connected.alpn_protocol(), accepted.alpn_protocol()),
        (Some(b"postgresql".as_slice()), Some(b"postgresql".as_slice()))
    );
    assert_eq!(handshake(client(&[]), Arc::clone(&server)).unwrap().1.alpn_protocol(), None);
    assert!(
        handshake(client(&[b"http/1.1"]), server).is_err(),
        "a client of another protocol is rejected"
    );
}

/// A resumed session sends no certificate; the channel binding is the same.
#[test]
fn a_resumed_session_keeps_the_peer_certificate() {
    let authority = Authority::new();
    let server = authority.server(HOST, 4000);
    let client = client_config(Verification::VerifyFull, &authority.roots(), &[]).unwrap();
    let (first, _) = handshake(Arc::clone(&client), Arc::clone(&server)).unwrap();
    let (second, _) = handshake(client, Arc::clone(&server)).unwrap();
    assert_eq!(first.handshake_kind(), Some(HandshakeKind::Full));
    assert_eq!(second.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(second.peer_certificates().is_some());
    assert_eq!(first.peer_certificates(), second.peer_certificates());
    let other = client_config(Verification::VerifyCa, &authority.roots(), &[]).unwrap();
    assert_eq!(
        handshake(other, server).unwrap().0.handshake_kind(),
        Some(HandshakeKind::Full),
        "of its own configuration alone"
    );
}

#[test]
fn clients_bind_to_the_server_s_certificate() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign(HOST, 4000);
    let (server, own) = server_config(&certificate, &key, &[]).unwrap();
    let client = client_config(Verification::VerifyFull, &authority.roots(), &[]).unwrap();
    let (client, _) = handshake(client, server).unwrap();
    let shown = client.peer_certificates().unwrap()[0].clone();
    assert_eq!((own.as_ref().map(Vec::len), own), (Some(32), tls_server_end_point(&shown)));
}

#[test]
fn every_built_in_root_is_parsed_and_unique() {
    let files = [
        include_bytes!("../../roots/rds.pem").as_slice(),
        include_bytes!("../../roots/amazon-trust-services.pem"),
    ];
    let read = |file| CertificateDer::pem_slice_iter(file).map(Result::unwrap).collect::<Vec<_>>();
    let counts = files.map(|file| read(file).len());
    assert_eq!(counts, [87, 5]);
    let different: std::collections::HashSet<_> = files.into_iter().flat_map(read).collect();
    assert_eq!((Roots::built_in().count(), different.len()), (92, 92));
    assert_eq!(format!("{:?}", Roots::built_in()), "Roots(92)");
}

/// `roots/README.md` lists which regions' databases need a file of their own.
#[test]
fn each_region_has_three_built_in_roots() {
    let roots = Roots::built_in();
    let readme = include_str!("../../roots/README.md");
    let (_, listed) = readme.split_once("<!-- regions -->\n").unwrap();
    let regions: Vec<&str> = listed.lines().next().unwrap().split(", ").collect();
    assert_eq!(regions.len(), 27);
    for region in regions {
        let name = format!("Amazon RDS {region} Root CA ");
        let named =
            |subject: &[u8]| subject.windows(name.len()).any(|window| window == name.as_bytes());
        assert_eq!(roots.0.roots.iter().filter(|root| named(&root.subject)).count(), 3, "{region}");
    }
}

#[test]
fn a_file_with_a_malformed_root_is_rejected() {
    let authority = Authority::new();
    let path = authority.directory.path().join("roots.pem");
    let good = fs::read_to_string(&authority.root).unwrap();
    let read = |text: &str| {
        fs::write(&path, text).unwrap();
        Roots::from_file(&path).map(|roots| roots.count()).map_err(|failure| {
            assert_eq!(failure.class, Class::Configuration);
            failure.detail.replace(&path.display().to_string(), "FILE")
        })
    };
    assert_eq!(read(&good), Ok(1));
    assert_eq!(read(&format!("a comment\n{good}\n{good}")), Ok(2));
    assert_eq!(
        read(""),
        Err("cannot read the certificate in FILE: it contains no certificate".to_owned())
    );
    assert_eq!(
        read("hunter2"),
        Err("cannot read the certificate in FILE: it contains no certificate".to_owned())
    );
    let broken =
        Err("cannot read the certificate in FILE: it is not a well-formed PEM file".to_owned());
    assert_eq!(read(&good.replace("-----END CERTIFICATE-----", "")), broken);
    assert_eq!(read("-----BEGIN CERTIFICATE-----\n!hunter2!\n-----END CERTIFICATE-----\n"), broken);
    let nonsense =
        read("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n").unwrap_err();
    assert!(nonsense.starts_with("cannot use a certificate in FILE: "), "{nonsense}");
    let nonsense = read(&format!(
        "{good}-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"
    ))
    .unwrap_err();
    assert!(nonsense.starts_with("cannot use a certificate in FILE: "), "{nonsense}");
    let missing = Roots::from_file(&authority.directory.path().join("missing.pem")).unwrap_err();
    assert!(missing.detail.contains("No such file"), "{missing}");
}

#[test]
fn a_server_certificate_must_match_its_key() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign(HOST, 4000);
    let (_, other) = authority.sign("other.example", 4000);
    let refused = |certificate: &Path, key: &Path| {
        let failure = server_config(certificate, key, &[]).unwrap_err();
        assert_eq!(failure.class, Class::Configuration);
        failure.detail
    };
    assert!(refused(&certificate, &other).starts_with("cannot use the certificate"), "another key");
    assert!(refused(&certificate, &certificate).contains("it contains no private key"));
    assert!(refused(&key, &key).contains("it contains no certificate"));
    let broken = authority.directory.path().join("broken.key");
    fs::write(&broken, "-----BEGIN PRIVATE KEY-----\n!hunter2!\n-----END PRIVATE KEY-----\n")
        .unwrap();
    let why = refused(&certificate, &broken);
    assert!(why.contains("not a well-formed PEM file") && !why.contains("hunter2"), "{why}");
}
