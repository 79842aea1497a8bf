//! Connection to the PostgreSQL server and the queries on it.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_postgres::{Client, NoTls};
use tokio_rustls::TlsConnector;

use crate::store::backend::{Commit, Revision, Row};
use crate::store::location::{PostgresLocation, TlsMode};

/// Version of the schema, stored in `countersign.schema`.
const SCHEMA_VERSION: i32 = 2;

/// Requests TLS. Source: PostgreSQL, "Message Formats", SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Connection to a database that has the current schema.
#[derive(Debug)]
pub(super) struct Connection(Client);

impl Connection {
    pub(super) async fn open(location: &PostgresLocation) -> Result<Self, String> {
        let client = if location.is_socket() {
            let path = Path::new(&location.host).join(format!(".s.PGSQL.{}", location.port));
            connect(location, UnixStream::connect(&path).await.map_err(error_chain)?).await?
        } else {
            let stream = TcpStream::connect((location.host.as_str(), location.port))
                .await
                .map_err(error_chain)?;
            stream.set_nodelay(true).map_err(error_chain)?;
            match location.tls {
                TlsMode::Disable => connect(location, stream).await?,
                TlsMode::VerifyFull => {
                    connect(location, start_tls(location, stream).await?).await?
                }
            }
        };
        let mut connection = Self(client);
        connection.migrate().await?;
        Ok(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Migrates an empty database to the current schema. If several authorities start at once, one
    /// does so and the others wait.
    async fn migrate(&mut self) -> Result<(), String> {
        let transaction = self.0.transaction().await.map_err(error_chain)?;
        // The number of the lock is arbitrary; no other program may use it.
        transaction
            .batch_execute("SELECT pg_advisory_xact_lock(7234019284651)")
            .await
            .map_err(error_chain)?;
        transaction
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS countersign; \
                 CREATE TABLE IF NOT EXISTS countersign.schema (version integer NOT NULL)",
            )
            .await
            .map_err(error_chain)?;
        let found = transaction
            .query_opt("SELECT version FROM countersign.schema", &[])
            .await
            .map_err(error_chain)?;
        match found.map(|row| row.try_get::<_, i32>(0)).transpose().map_err(error_chain)? {
            Some(SCHEMA_VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "schema version {other} is not supported, this program supports \
                     {SCHEMA_VERSION}; use the version of countersign that created it, or another \
                     database"
                ));
            }
            None => {
                transaction
                    .batch_execute(include_str!("../migrations/postgres-2.sql"))
                    .await
                    .map_err(error_chain)?;
                transaction
                    .execute("INSERT INTO countersign.schema VALUES ($1)", &[&SCHEMA_VERSION])
                    .await
                    .map_err(error_chain)?;
            }
        }
        transaction.commit().await.map_err(error_chain)
    }

    pub(super) async fn revision(&mut self) -> Result<Revision, String> {
        let row = self
            .0
            .query_one("SELECT current FROM countersign.revision", &[])
            .await
            .map_err(error_chain)?;
        row.try_get(0).map_err(error_chain)
    }

    pub(super) async fn changes(
        &mut self,
        since: Revision,
    ) -> Result<(Revision, Vec<Row>), String> {
        let transaction = self
            .0
            .build_transaction()
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true);
        let transaction = transaction.start().await.map_err(error_chain)?;
        let current = transaction
            .query_one("SELECT current FROM countersign.revision", &[])
            .await
            .map_err(error_chain)?;
        let rows = transaction
            .query("SELECT kind, id, body FROM countersign.record WHERE revision > $1", &[&since])
            .await
            .map_err(error_chain)?;
        transaction.commit().await.map_err(error_chain)?;
        let row = |row: &tokio_postgres::Row| {
            Ok(Row { kind: row.try_get(0)?, id: row.try_get(1)?, body: row.try_get(2)? })
        };
        let rows: Result<Vec<Row>, tokio_postgres::Error> = rows.iter().map(row).collect();
        Ok((current.try_get(0).map_err(error_chain)?, rows.map_err(error_chain)?))
    }

    pub(super) async fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, String> {
        let transaction = self.0.transaction().await.map_err(error_chain)?;
        let current = transaction
            .query_one("SELECT current FROM countersign.revision FOR UPDATE", &[])
            .await
            .map_err(error_chain)?;
        if current.try_get::<_, Revision>(0).map_err(error_chain)? != base {
            return Ok(Commit::Conflict);
        }
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let bodies: Vec<Option<&str>> = rows.iter().map(|row| row.body.as_deref()).collect();
        let next = base + 1;
        transaction
            .execute(
                "INSERT INTO countersign.record (kind, id, body, revision)
                 SELECT kind, id, body, $4
                   FROM unnest($1::text[], $2::text[], $3::text[]) AS given (kind, id, body)
                 ON CONFLICT (kind, id)
                   DO UPDATE SET revision = excluded.revision, body = excluded.body",
                &[&kinds, &ids, &bodies, &next],
            )
            .await
            .map_err(error_chain)?;
        transaction
            .execute("UPDATE countersign.revision SET current = $1", &[&next])
            .await
            .map_err(error_chain)?;
        transaction.commit().await.map_err(error_chain)?;
        Ok(Commit::Done(next))
    }
}

async fn connect(
    location: &PostgresLocation,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Client, String> {
    let (client, connection) =
        location.driver().connect_raw(stream, NoTls).await.map_err(error_chain)?;
    let location = location.to_string();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = error_chain(error), location, "store connection lost");
        }
    });
    Ok(client)
}

/// Starts TLS on `stream` and verifies that the server is the named host.
async fn start_tls(
    location: &PostgresLocation,
    mut stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, String> {
    stream.write_all(&SSL_REQUEST).await.map_err(error_chain)?;
    if stream.read_u8().await.map_err(error_chain)? != b'S' {
        return Err(
            "the server does not support TLS; enable it there, or set sslmode=disable".to_owned()
        );
    }
    let mut roots = RootCertStore::empty();
    match &location.root_certificates {
        Some(file) => {
            let unusable =
                |error: &dyn std::fmt::Display| format!("sslrootcert {}: {error}", file.display());
            for certificate in
                CertificateDer::pem_file_iter(file).map_err(|error| unusable(&error))?
            {
                roots
                    .add(certificate.map_err(|error| unusable(&error))?)
                    .map_err(|error| unusable(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(error_chain)?;
    let connector =
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from(location.host.clone()).map_err(error_chain)?;
    connector.connect(name, stream).await.map_err(error_chain)
}

/// Returns the error and its sources in one line: the driver keeps the server's message in a
/// source.
fn error_chain(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
