use super::*;
use crate::testing::session;

#[tokio::test]
async fn clients_know_their_session_by_the_server_s_process() {
    let login = server::ServerConfig {
        tls: countersign_wire::exchange::ClientTlsMode::Off,
        auth: AuthMethod::Trust,
    };
    let protocol = Postgres { login, tls: TlsConfig::None, cancels: Arc::default() };
    let (mut upstream, _server) = session("app");
    let theirs = CancelKey { process_id: 4711, secret: vec![1, 2, 3, 4] };
    Arc::get_mut(&mut upstream.session).unwrap().key = Some(theirs.clone());
    let welcomed = || protocol.login_ok(Introduction { minor: 0 }, &upstream).unwrap();
    let [(first, first_stay), (second, _second_stay)] = [welcomed(), welcomed()];
    let ours = |bytes: &[u8]| {
        let place = bytes.windows(5).position(|header| header == b"K\0\0\0\x0c").unwrap();
        CancelKey::parse(&bytes[place + 5..place + 13]).unwrap()
    };
    let [first, second] = [ours(&first), ours(&second)];
    assert_eq!((first.process_id, second.process_id), (4711, 4711));
    assert!(first.secret != theirs.secret && first.secret != second.secret);
    assert_eq!(protocol.cancels.find(&first), Some((upstream.address, theirs)));
    drop(first_stay);
    assert!(protocol.cancels.find(&first).is_none() && protocol.cancels.find(&second).is_some());
}
