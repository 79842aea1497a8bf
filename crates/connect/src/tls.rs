//! TLS configuration: root certificates and verification of servers, and the certificate of this
//! server.

mod channel_binding;
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

pub use channel_binding::tls_server_end_point;

/// Number of servers whose TLS sessions are cached for resumption.
const SESSION_CACHE_SIZE: usize = 64;

/// Verification of a server's certificate, as libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verification {
    /// `verify-full`: a root certificate must have signed it, and it must be valid for the host
    /// name.
    VerifyFull,
    /// `verify-ca`: a root certificate must have signed it, for any name.
    VerifyCa,
    /// `require`: the connection is encrypted, and the certificate is not verified. A man in the
    /// middle is not detected.
    Require,
    /// `disable`: no TLS.
    Disable,
}

/// A set of root certificates.
///
/// ```
/// use countersign_connect::tls::{Roots, Verification, client_config};
///
/// let roots = Roots::built_in();
/// assert!(roots.count() > 0);
/// let config = client_config(Verification::VerifyFull, &roots, &[]).unwrap();
/// assert!(config.alpn_protocols.is_empty());
/// ```
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

/// The root certificates of RDS in most regions, and those of Amazon Trust Services, which RDS
/// Proxy and Aurora Serverless v1 use. `roots/README.md` lists their sources and the missing
/// regions.
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
    /// Returns the built-in root certificates: Amazon's only. The system's are excluded, so that
    /// none of the public authorities that browsers trust can issue a certificate for a database;
    /// [`Self::from_file`] adds others.
    #[must_use]
    pub fn built_in() -> Self {
        Self(Arc::clone(&BUILT_IN))
    }

    /// Reads the root certificates of a PEM file, which replace the built-in ones.
    ///
    /// # Errors
    /// [`Class::Configuration`] if the file cannot be read, contains none, or one of them is
    /// malformed.
    pub fn from_file(path: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| invalid_root(path, &error))?;
        }
        Ok(Self(Arc::new(roots)))
    }

    /// Returns the number of root certificates.
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

/// Creates the TLS configuration of a client. Sessions are resumed within one configuration, so it
/// is created once per target, not per connection.
///
/// # Errors
/// [`Class::NoTls`] for [`Verification::Disable`], [`Class::Internal`] if TLS cannot be set up.
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
            return Err(Failure::new(Class::NoTls, "cannot use TLS: the target disables it"));
        }
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::in_memory_sessions(SESSION_CACHE_SIZE);
    Ok(Arc::new(config))
}

/// Creates the TLS configuration of a server, and its certificate's `tls-server-end-point` for
/// channel binding.
///
/// # Errors
/// [`Class::Configuration`] if a file cannot be read, or the key is not that of the certificate.
pub fn server_config(
    certificate: &Path,
    key: &Path,
    alpn: &[&[u8]],
) -> Result<(Arc<ServerConfig>, Option<Vec<u8>>), Failure> {
    let chain = certificates(certificate)?;
    let end_point = chain.first().and_then(|own| tls_server_end_point(own));
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| pem_error(key, "private key", &error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(internal)?;
    let mut config =
        builder.with_no_client_auth().with_single_cert(chain, private).map_err(|error| {
            let files = format!(
                "cannot use the certificate in {} with the key in {}",
                certificate.display(),
                key.display()
            );
            Failure::new(Class::Configuration, format!("{files}: {error}"))
        })?;
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok((Arc::new(config), end_point))
}

/// Explicit: the default provider of rustls depends on the features of other crates.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let read = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, pem::Error>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(pem_error(path, "certificate", &pem::Error::NoItemsFound))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(pem_error(path, "certificate", &error)),
    }
}

/// Only errors without file content are repeated: a line of the file may be part of a key.
fn pem_error(path: &Path, what: &str, error: &pem::Error) -> Failure {
    let cause = match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => format!("it contains no {what}"),
        _ => "it is not a well-formed PEM file".to_owned(),
    };
    Failure::new(
        Class::Configuration,
        format!("cannot read the {what} in {}: {cause}", path.display()),
    )
}

fn invalid_root(path: &Path, error: &rustls::Error) -> Failure {
    Failure::new(
        Class::Configuration,
        format!("cannot use a certificate in {}: {error}", path.display()),
    )
}

fn internal(error: rustls::Error) -> Failure {
    Failure::new(Class::Internal, format!("cannot set up TLS: {error}"))
}

#[cfg(test)]
mod tests;
