//! One connection to the server, and what is done on it.

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

/// The schema's version, in `countersign.schema`.
const SCHEMA_VERSION: i32 = 2;

/// Asks for TLS. Source: PostgreSQL, "Message Formats", SSLRequest.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A connection whose database has the present schema.
#[derive(Debug)]
pub(super) struct Connection(Client);

impl Connection {
    pub(super) async fn open(location: &PostgresLocation) -> Result<Self, String> {
        let client = if location.is_socket() {
            let path = Path::new(&location.host).join(format!(".s.PGSQL.{}", location.port));
            log_in(location, UnixStream::connect(&path).await.map_err(said)?).await?
        } else {
            let stream =
                TcpStream::connect((location.host.as_str(), location.port)).await.map_err(said)?;
            stream.set_nodelay(true).map_err(said)?;
            match location.tls {
                TlsMode::Disable => log_in(location, stream).await?,
                TlsMode::VerifyFull => log_in(location, secured(location, stream).await?).await?,
            }
        };
        let mut connection = Self(client);
        connection.migrate().await?;
        Ok(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.0.is_closed()
    }

    /// Brings an empty database to the present schema. Of several authorities that start at once, one does it.
    async fn migrate(&mut self) -> Result<(), String> {
        let transaction = self.0.transaction().await.map_err(said)?;
        // Any number does that nobody else takes for something else.
        transaction
            .batch_execute("SELECT pg_advisory_xact_lock(7234019284651)")
            .await
            .map_err(said)?;
        transaction
            .batch_execute(
                "CREATE SCHEMA IF NOT EXISTS countersign; CREATE TABLE IF NOT EXISTS countersign.schema (version integer NOT NULL)",
            )
            .await
            .map_err(said)?;
        let found = transaction
            .query_opt("SELECT version FROM countersign.schema", &[])
            .await
            .map_err(said)?;
        match found.map(|row| row.try_get::<_, i32>(0)).transpose().map_err(said)? {
            Some(SCHEMA_VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "its schema is of version {other}, this program knows {SCHEMA_VERSION}"
                ));
            }
            None => {
                transaction
                    .batch_execute(include_str!("../migrations/postgres-2.sql"))
                    .await
                    .map_err(said)?;
                transaction
                    .execute("INSERT INTO countersign.schema VALUES ($1)", &[&SCHEMA_VERSION])
                    .await
                    .map_err(said)?;
            }
        }
        transaction.commit().await.map_err(said)
    }

    pub(super) async fn revision(&mut self) -> Result<Revision, String> {
        let row = self
            .0
            .query_one("SELECT current FROM countersign.revision", &[])
            .await
            .map_err(said)?;
        row.try_get(0).map_err(said)
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
        let transaction = transaction.start().await.map_err(said)?;
        let current = transaction
            .query_one("SELECT current FROM countersign.revision", &[])
            .await
            .map_err(said)?;
        let rows = transaction
            .query("SELECT kind, id, body FROM countersign.record WHERE revision > $1", &[&since])
            .await
            .map_err(said)?;
        transaction.commit().await.map_err(said)?;
        let row = |row: &tokio_postgres::Row| {
            Ok(Row { kind: row.try_get(0)?, id: row.try_get(1)?, body: row.try_get(2)? })
        };
        let rows: Result<Vec<Row>, tokio_postgres::Error> = rows.iter().map(row).collect();
        Ok((current.try_get(0).map_err(said)?, rows.map_err(said)?))
    }

    pub(super) async fn commit(&mut self, base: Revision, rows: &[Row]) -> Result<Commit, String> {
        let transaction = self.0.transaction().await.map_err(said)?;
        let current = transaction
            .query_one("SELECT current FROM countersign.revision FOR UPDATE", &[])
            .await
            .map_err(said)?;
        if current.try_get::<_, Revision>(0).map_err(said)? != base {
            return Ok(Commit::Conflict);
        }
        let kinds: Vec<&str> = rows.iter().map(|row| row.kind.as_str()).collect();
        let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let bodies: Vec<Option<&str>> = rows.iter().map(|row| row.body.as_deref()).collect();
        let next = base + 1;
        transaction
            .execute(
                "INSERT INTO countersign.record (kind, id, body, revision)
                 SELECT kind, id, body, $4 FROM unnest($1::text[], $2::text[], $3::text[]) AS given (kind, id, body)
                 ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision, body = excluded.body",
                &[&kinds, &ids, &bodies, &next],
            )
            .await
            .map_err(said)?;
        transaction
            .execute("UPDATE countersign.revision SET current = $1", &[&next])
            .await
            .map_err(said)?;
        transaction.commit().await.map_err(said)?;
        Ok(Commit::Done(next))
    }
}

async fn log_in(
    location: &PostgresLocation,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Client, String> {
    let (client, connection) = location.driver().connect_raw(stream, NoTls).await.map_err(said)?;
    let place = location.to_string();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(
                error = said(error),
                place,
                "the connection to the authority's store has ended"
            );
        }
    });
    Ok(client)
}

/// The stream under TLS, once the server has proved that it is the host named.
async fn secured(
    location: &PostgresLocation,
    mut stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, String> {
    stream.write_all(&SSL_REQUEST).await.map_err(said)?;
    if stream.read_u8().await.map_err(said)? != b'S' {
        return Err("the server speaks no TLS: configure it, or say sslmode=disable".to_owned());
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
        .map_err(said)?;
    let connector =
        TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
    let name = ServerName::try_from(location.host.clone()).map_err(said)?;
    connector.connect(name, stream).await.map_err(said)
}

/// What an error says, with what it came of: PostgreSQL's driver keeps the server's words there.
fn said(error: impl Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
