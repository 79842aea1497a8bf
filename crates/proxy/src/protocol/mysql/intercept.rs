//! Execution of the commands that the proxy intercepts.

use countersign_connect::dialer::{ConnectError, Dialer};
use countersign_connect::drive::{DriveError, TlsConfig, drive};
use countersign_core::failure::{Class, Failure};
use countersign_wire::exchange::TransportSecurity;
use countersign_wire::mysql::server::AuthMethod;
use countersign_wire::mysql::stream::Kill;
use countersign_wire::mysql::{LoginParams, client, response, server};
use tokio::time::{Instant, timeout_at};

use super::reply::login_error;
use super::tracker::Tracker;
use crate::protocol::{InterceptCtx, LoginParams as _, SessionError};
use crate::upstream::Upstream;

type MysqlUpstream = Upstream<client::Session, LoginParams>;

/// Authenticates the client for COM_CHANGE_USER, and changes the user of the server session with
/// a token of the new user.
pub(super) async fn change_user(
    payload: &[u8],
    auth: AuthMethod,
    ctx: InterceptCtx<'_, MysqlUpstream, Tracker>,
    deadline: Instant,
) -> Result<(), SessionError> {
    let InterceptCtx { client, client_buffer, upstream, tracker, dialer, target } = ctx;
    let capabilities = tracker.params.capabilities;
    let flavour = upstream.session.greeting.flavour;
    let exchange = server::ServerChangeUser::new(
        payload,
        &tracker.params,
        flavour,
        auth,
        client.is_encrypted(),
    )
    .map_err(DriveError::Protocol)?;
    let request = timeout_at(deadline, drive(client, client_buffer, exchange, &TlsConfig::None))
        .await
        .map_err(|_| DriveError::Closed)??;
    let params = request.params.with_overrides(target);
    match change_upstream_user(&params, upstream, dialer, deadline).await {
        Ok(changed) => {
            let server = upstream.session.capabilities;
            let packet = response::forward_ok(&changed.ok, server, request.sequence, capabilities);
            client.write_all(&packet).await.map_err(DriveError::Io)?;
            *tracker = Tracker::new(params, upstream.session.capabilities, changed.status);
            Ok(())
        }
        Err(error) => {
            client
                .write_all(&login_error(request.sequence, capabilities, &error))
                .await
                .map_err(DriveError::Io)?;
            Err(Box::new(error).into())
        }
    }
}

async fn change_upstream_user(
    params: &LoginParams,
    upstream: &mut MysqlUpstream,
    dialer: &Dialer,
    deadline: Instant,
) -> Result<client::UserChanged, ConnectError> {
    let credential = dialer.credential(&params.db_user()?, deadline).await?;
    let trusted = matches!(dialer.security(), TransportSecurity::Plain { trusted: true });
    let tls = upstream.transport.is_encrypted();
    let exchange = client::ChangeUser::new(
        upstream.session.capabilities,
        params.clone(),
        credential,
        tls || trusted,
    );
    timeout_at(deadline, upstream.exchange(exchange))
        .await
        .map_err(|_| {
            let server = dialer.host_port();
            Failure::new(Class::TimedOut, format!("cannot change the user at {server}: timed out"))
        })?
        .map_err(|error| dialer.drive_error(error))
}

/// Forwards KILL. `server_id` replaces the connection id if the proxy gave it to one of its
/// clients; otherwise it is the server's own, as SHOW PROCESSLIST prints it.
pub(super) async fn kill(
    packet: &[u8],
    kill: &Kill,
    server_id: Option<u32>,
    upstream: &mut MysqlUpstream,
) -> Result<(), SessionError> {
    let sent = match server_id {
        Some(id) => upstream.transport.write_all(&kill.with_connection_id(packet, id)).await,
        None => upstream.transport.write_all(packet).await,
    };
    sent.map_err(|error| DriveError::Io(error).into())
}
