use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::tls_server_end_point;

/// Name, expected hash and certificate of each case.
fn certificates() -> Vec<(String, String, CertificateDer<'static>)> {
    let (_, text) = include_str!("certificates.txt").split_once('\n').unwrap();
    let blocks = text.split_inclusive("-----END CERTIFICATE-----\n");
    let read = |block: &str| {
        let (name, hash) = block.lines().next().unwrap().split_once(' ').unwrap();
        (
            name.to_owned(),
            hash.to_owned(),
            CertificateDer::from_pem_slice(block.as_bytes()).unwrap(),
        )
    };
    blocks.map(read).collect()
}

#[test]
fn the_hash_equals_openssl_s_for_every_signature_algorithm() {
    let certificates = certificates();
    assert_eq!(certificates.len(), 14);
    for (name, hash, certificate) in certificates {
        let actual = tls_server_end_point(&certificate)
            .map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        assert_eq!(actual.as_deref().unwrap_or("none"), hash, "{name}");
    }
}

#[test]
fn malformed_certificates_have_none() {
    for (name, _, certificate) in certificates() {
        for cut in 0..certificate.len() {
            assert_eq!(tls_server_end_point(&certificate[..cut]), None, "{name} cut off at {cut}");
        }
    }
    for bytes in [
        b"".as_slice(),
        b"\x30",
        b"\x30\x80",
        b"\x30\x85\0\0\0\0\0",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x00",
        b"\x31\x02\x30\x00",
    ] {
        assert_eq!(tls_server_end_point(bytes), None, "{bytes:?}");
    }
}
