use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::settings::Listen;

/// A proxy that answers every client with one byte, its name.
struct Proxy {
    server: Arc<HandoverServer>,
    accept_loop: JoinHandle<()>,
    stopped: Arc<AtomicBool>,
}

fn proxy(listener: std::net::TcpListener, name: u8) -> Proxy {
    listener.set_nonblocking(true).expect("non-blocking");
    let duplicate = listener.try_clone().expect("a duplicate");
    let address = duplicate.local_addr().expect("an address");
    let (gate, stopped) = (AcceptGate::default(), Arc::new(AtomicBool::new(false)));
    let sockets = move || {
        let socket = duplicate.try_clone()?.into();
        let listen = Listen::Tcp(address);
        Ok(vec![InheritedSocket { name: "orders".to_owned(), listen, socket }])
    };
    let stop = Arc::clone(&stopped);
    let stop_accepting = move || stop.store(true, Ordering::Relaxed);
    let server = HandoverServer::new(gate.clone(), sockets, stop_accepting, |_, _| {});
    let listener = TcpListener::from_std(listener).expect("a listener");
    let accept_loop = tokio::spawn(async move {
        while let Some(accepted) = gate.accept(|| listener.accept()).await {
            let (mut stream, _) = accepted.expect("a connection");
            tokio::spawn(async move { stream.write_all(&[name]).await });
        }
    });
    Proxy { server: Arc::new(server), accept_loop, stopped }
}

fn bound() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Connects as a client, and returns the name of the proxy that accepted.
async fn connect(address: SocketAddr) -> u8 {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.read_u8().await.expect("the name of a proxy")
}

/// Serves handovers on the socket at `path` until one succeeds.
fn serve(path: &Path, server: Arc<HandoverServer>) -> JoinHandle<Vec<Result<Successor, Failure>>> {
    let socket = UnixListener::bind(path).expect("a socket");
    tokio::spawn(async move {
        let mut results = Vec::new();
        loop {
            let (stream, _) = socket.accept().await.expect("a connection");
            let result = server.hand_over(stream).await;
            let done = result.is_ok();
            results.push(result);
            if done {
                return results;
            }
        }
    })
}

/// Clients that connect in a loop until they are stopped.
struct Clients {
    tasks: JoinSet<Vec<u8>>,
    stopped: Arc<AtomicBool>,
    /// Set after the handover: the tasks record the names of later answers.
    handed_over: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

impl Clients {
    fn start(address: SocketAddr) -> Self {
        let [stopped, handed_over] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let served = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..8 {
            let (stopped, handed_over) = (Arc::clone(&stopped), Arc::clone(&handed_over));
            let served = Arc::clone(&served);
            tasks.spawn(async move {
                let mut names = Vec::new();
                while !stopped.load(Ordering::Relaxed) {
                    let is_after = handed_over.load(Ordering::Relaxed);
                    let name = connect(address).await;
                    names.extend(is_after.then_some(name));
                    served.fetch_add(1, Ordering::Relaxed);
                }
                names
            });
        }
        Self { tasks, stopped, handed_over, served }
    }

    /// Waits until `count` more connections were served.
    async fn wait_for(&self, count: usize) {
        let goal = self.served.load(Ordering::Relaxed) + count;
        while self.served.load(Ordering::Relaxed) < goal {
            tokio::task::yield_now().await;
        }
    }

    /// Returns the names that answered after the handover.
    async fn stop(self) -> Vec<u8> {
        self.stopped.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_served_during_a_handover() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let handovers = serve(&path, Arc::clone(&old.server));
    let clients = Clients::start(address);
    clients.wait_for(50).await;

    let mut takeover = take(&path).await.expect("an answer").expect("a proxy");
    let inherited = takeover.sockets.pop().expect("a socket");
    assert_eq!((inherited.name.as_str(), &inherited.listen), ("orders", &Listen::Tcp(address)));
    let waiting = tokio::spawn(connect(address));
    let new = proxy(inherited.socket.into(), b'2');
    takeover.ready().await.expect("a confirmation");
    handovers.await.expect("no panic").pop().expect("a result").expect("a handover");
    old.accept_loop.await.expect("the old proxy stops accepting");
    assert!(old.stopped.load(Ordering::Relaxed));
    clients.handed_over.store(true, Ordering::Relaxed);
    assert_eq!(waiting.await.expect("no panic"), b'2', "a client in the accept queue");

    clients.wait_for(50).await;
    let names = clients.stop().await;
    assert!(!names.is_empty() && names.iter().all(|name| *name == b'2'), "{names:?}");
    drop(new);
}

#[tokio::test]
async fn the_old_proxy_continues_if_the_new_one_exits() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let handovers = serve(&path, Arc::clone(&old.server));
    let takeover = take(&path).await.expect("an answer").expect("a proxy");
    let waiting = tokio::spawn(connect(address));
    drop(takeover);
    assert_eq!(waiting.await.expect("no panic"), b'1');
    let takeover = take(&path).await.expect("an answer").expect("a proxy");
    assert!(!old.stopped.load(Ordering::Relaxed));
    takeover.ready().await.expect("a confirmation");
    let results = handovers.await.expect("no panic");
    assert!(matches!(results.as_slice(), [Err(_), Ok(_)]), "{results:?}");
}

#[tokio::test]
async fn only_one_proxy_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, _) = bound();
    let old = proxy(listener, b'1');
    let hand_over = |name: &str| {
        let path = directory.path().join(name);
        let socket = UnixListener::bind(&path).expect("a socket");
        let server = Arc::clone(&old.server);
        let result = tokio::spawn(async move {
            server.hand_over(socket.accept().await.expect("a connection").0).await
        });
        (path, result)
    };
    let (first, first_result) = hand_over("first");
    let (second, second_result) = hand_over("second");
    let (third, third_result) = hand_over("third");
    let takeover = take(&first).await.expect("an answer").expect("a proxy");
    take(&second).await.expect_err("a takeover is in progress");
    assert_eq!(second_result.await.expect("no panic").expect_err("busy").class, Class::Usage);
    takeover.ready().await.expect("a confirmation");
    first_result.await.expect("no panic").expect("a handover");
    take(&third).await.expect_err("the proxy was taken over");
    assert_eq!(third_result.await.expect("no panic").expect_err("busy").class, Class::Usage);
}

#[tokio::test]
async fn without_a_proxy_nothing_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    assert!(take(&path).await.expect("no failure").is_none());
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(take(&path).await.expect("no failure").is_none(), "the socket is stale");
}

#[tokio::test]
async fn malformed_messages_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let (mut client, server) = UnixStream::pair().expect("a pair");
    client.write_all(b"TAKEAWAY\n").await.expect("written");
    let failure = old.server.hand_over(server).await.expect_err("another word");
    assert_eq!(failure.class, Class::Protocol);
    for answer in
        [&b"GET / HTTP/1.1"[..], &[0, 0, 0, 2, b'{', b'}'], &[0xff; 8], &[0, 0, 0, 40], &[0], &[]]
    {
        let path = directory.path().join("other");
        let socket = UnixListener::bind(&path).expect("a socket");
        let other = tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.expect("a connection");
            stream.read_exact(&mut [0; TAKEOVER.len()]).await.expect("a request");
            stream.write_all(answer).await.expect("written");
        });
        take(&path).await.expect_err("a malformed answer");
        other.await.expect("no panic");
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(connect(address).await, b'1');
}

#[tokio::test]
async fn the_number_of_transferred_sockets_is_limited() {
    let (listener, address) = bound();
    let name = |index: usize| format!("target {index}");
    let socket = |index| InheritedSocket {
        name: name(index),
        listen: Listen::Unix(format!("/run/{}", "x".repeat(90)).into()),
        socket: listener.try_clone().expect("a duplicate").into(),
    };
    let (sender, mut receiver) = UnixStream::pair().expect("a pair");
    let mut sockets: Vec<InheritedSocket> = (0..message::MAX_SOCKETS).map(socket).collect();
    let (sent, received) =
        tokio::join!(message::send(&sender, &sockets), message::receive(&mut receiver));
    sent.expect("sent");
    let received = received.expect("received");
    assert!(received.iter().enumerate().all(|(index, socket)| socket.name == name(index)));
    assert_eq!(received.len(), message::MAX_SOCKETS);
    let last = &received[message::MAX_SOCKETS - 1].socket;
    assert_eq!(crate::inherited::bound(last).expect("an address"), Listen::Tcp(address));
    sockets.push(socket(0));
    let failure = message::send(&sender, &sockets).await.expect_err("too many");
    assert_eq!(failure.class, Class::Configuration);
}

#[tokio::test]
async fn cancel_requests_are_forwarded_to_the_old_proxy() {
    let (sender, mut cancelled) = tokio::sync::mpsc::unbounded_channel();
    let cancel = move |target: &str, key: &[u8]| {
        sender.send((target.to_owned(), key.to_vec())).expect("a receiver");
    };
    let server = HandoverServer::new(AcceptGate::default(), || Ok(Vec::new()), || {}, cancel);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let socket = UnixListener::bind(&path).expect("a socket");
    let old = tokio::spawn(async move {
        let (stream, _) = socket.accept().await.expect("a connection");
        let successor = server.hand_over(stream).await.expect("a handover");
        successor.receive_cancels(|target, key| server.cancel(target, key)).await
    });
    let takeover = take(&path).await.expect("an answer").expect("a proxy");
    let predecessor = takeover.ready().await.expect("a confirmation");
    for key in [&[7; 8][..], &[255; 260]] {
        predecessor.cancel("orders", key).await.expect("forwarded");
        let received = cancelled.recv().await.expect("a request");
        assert_eq!(received, ("orders".to_owned(), key.to_vec()));
    }
    let failure = predecessor.cancel("orders", &[255; 2_000]).await.expect_err("too long");
    assert_eq!(failure.class, Class::Protocol);
    drop(predecessor);
    old.await.expect("no panic").expect("the new proxy has exited");
}

#[tokio::test]
async fn malformed_cancel_requests_end_the_forwarding() {
    for request in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02[]", b"\0\0\0\x09{"] {
        let (mut client, server) = UnixStream::pair().expect("a pair");
        client.write_all(request).await.expect("written");
        drop(client);
        let received = Successor::new(server).receive_cancels(|_, _| panic!("a request")).await;
        received.expect_err("a malformed request");
    }
}
