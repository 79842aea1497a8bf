//! TLS to databases and to clients: whom we believe, and what we show.

mod end_point;
mod verifier;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use countersign_core::failure::{Class, Failure};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

pub use end_point::end_point;

/// How many servers a session is remembered of, to begin the next one sooner.
const REMEMBERED_SESSIONS: usize = 64;

/// How far a server's certificate is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verification {
    /// Somebody whom we believe vouches for it, and it names the host: `verify-full`.
    VerifyFull,
    /// Somebody whom we believe vouches for it, whatever it names: `verify-ca`.
    VerifyCa,
    /// Not at all, though the connection is encrypted: `require`. Anybody in between may be the server.
    Require,
    /// There is no TLS: `disable`.
    Disable,
}

/// Whom we believe.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

/// The roots of RDS in most regions, and Amazon Trust Services' own, which RDS Proxy and Aurora Serverless v1 show. `roots/README.md`
/// says where they are from, and which regions are missing.
static BUILT_IN: LazyLock<Arc<RootCertStore>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    for file in [
        include_bytes!("../roots/rds.pem").as_slice(),
        include_bytes!("../roots/amazon-trust-services.pem"),
    ] {
        roots
            .add_parsable_certificates(CertificateDer::pem_slice_iter(file).filter_map(Result::ok));
    }
    Arc::new(roots)
});

impl Roots {
    /// Those within the binary: Amazon's alone. The system's are not among them, so that none of the hundreds of authorities
    /// that browsers believe can vouch for a database; who wants them names their file.
    #[must_use]
    pub fn built_in() -> Self {
        Self(Arc::clone(&BUILT_IN))
    }

    /// Those in a PEM file, in place of those built in.
    ///
    /// # Errors
    /// [`Class::Configuration`] where it can't be read, holds none, or one of them is broken.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| unusable(path, &error))?;
        }
        Ok(Self(Arc::new(roots)))
    }

    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.count())
    }
}

/// What a connection to a server is secured with. Sessions are resumed within one configuration, so it is made once for a target,
/// not for each connection.
///
/// # Errors
/// [`Class::NoTls`] for [`Verification::Off`], [`Class::Internal`] where TLS can't be set up.
pub fn client_config(
    verification: Verification,
    roots: &Roots,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, Failure> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    let builder = match verification {
        Verification::VerifyFull => builder.with_root_certificates(Arc::clone(&roots.0)),
        Verification::VerifyCa => builder.dangerous().with_custom_certificate_verifier(
            verifier::ChainOnlyVerifier::new(Arc::clone(&roots.0), &provider),
        ),
        Verification::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(verifier::NoVerification::new(&provider)),
        Verification::Disable => {
            return Err(Failure::new(Class::NoTls, "the target is set to be reached without TLS"));
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SESSIONS);
    Ok(Arc::new(config))
}

/// What clients are shown, and its `tls-server-end-point` for channel binding.
///
/// # Errors
/// [`Class::Configuration`] where a file can't be read, or the key is not the certificate's.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    alpn: &[&[u8]],
) -> Result<(Arc<ServerConfig>, Option<Vec<u8>>), Failure> {
    let chain = certificates(certificate)?;
    let end_point = chain.first().and_then(|own| end_point(own));
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key, "private key", &error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, private).map_err(|error| {
            let files = format!(
                "the certificate in {} with the key in {}",
                certificate.display(),
                key.display()
            );
            Failure::new(Class::Configuration, format!("{files} can't be used: {error}"))
        })?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok((Arc::new(config), end_point))
}

/// Named outright: which provider rustls falls back to depends on what else is linked in.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(unread(path, "certificate", &pem::Error::NoItemsFound))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unread(path, "certificate", &error)),
    }
}

/// The error is not repeated where it may hold a line of the file: that may be a key's.
fn unread(path: &Path, what: &str, error: &pem::Error) -> Failure {
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("there is no {what} in it"),
        _ => "it is not a whole PEM file".to_owned(),
    };
    Failure::new(
        Class::Configuration,
        format!("the {what} in {} can't be read: {why}", path.display()),
    )
}

fn unusable(path: &Path, error: &rustls::Error) -> Failure {
    Failure::new(
        Class::Configuration,
        format!("a certificate in {} can't be used: {error}", path.display()),
    )
}

fn internal(error: rustls::Error) -> Failure {
    Failure::new(Class::Internal, format!("TLS can't be set up: {error}"))
}

#[cfg(test)]
mod tests;
