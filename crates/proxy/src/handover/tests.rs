use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

use super::*;
use crate::settings::Listen;

/// A proxy, as far as a handover is concerned: whoever connects is told `name`.
struct Proxy {
    offer: Arc<HandoverServer>,
    accepting: JoinHandle<()>,
    left: Arc<AtomicBool>,
}

fn proxy(listener: std::net::TcpListener, name: u8) -> Proxy {
    listener.set_nonblocking(true).expect("not blocking");
    let spare = listener.try_clone().expect("a duplicate");
    let address = spare.local_addr().expect("an address");
    let (door, left) = (AcceptGate::default(), Arc::new(AtomicBool::new(false)));
    let gone = Arc::clone(&left);
    let sockets = move || {
        let socket = spare.try_clone()?.into();
        Ok(vec![InheritedSocket {
            name: "orders".to_owned(),
            listen: Listen::Tcp(address),
            socket,
        }])
    };
    let offer = HandoverServer::new(
        door.clone(),
        sockets,
        move || gone.store(true, Ordering::Relaxed),
        |_, _| {},
    );
    let listener = TcpListener::from_std(listener).expect("a listener");
    let accepting = tokio::spawn(async move {
        while let Some(accepted) = door.accept(|| listener.accept()).await {
            let (mut stream, _) = accepted.expect("a connection");
            tokio::spawn(async move { stream.write_all(&[name]).await });
        }
    });
    Proxy { offer: Arc::new(offer), accepting, left }
}

fn bound() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

async fn greeting(address: SocketAddr) -> u8 {
    let mut stream = TcpStream::connect(address).await.expect("nobody is refused");
    stream.read_u8().await.expect("nobody is cut off")
}

/// The private socket of `offer`.
fn private(path: &Path, offer: Arc<HandoverServer>) -> JoinHandle<Vec<Result<Successor, Failure>>> {
    let socket = UnixListener::bind(path).expect("a socket");
    tokio::spawn(async move {
        let mut outcomes = Vec::new();
        loop {
            let (stream, _) = socket.accept().await.expect("a connection");
            let outcome = offer.hand_over(stream).await;
            let done = outcome.is_ok();
            outcomes.push(outcome);
            if done {
                return outcomes;
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_connects_during_a_takeover_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let answering = private(&path, Arc::clone(&old.offer));

    let [over, gone] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let served = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..8 {
        let (over, gone, served) = (Arc::clone(&over), Arc::clone(&gone), Arc::clone(&served));
        clients.spawn(async move {
            let mut late = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let is_late = gone.load(Ordering::Relaxed);
                let greeting = greeting(address).await;
                late.extend(is_late.then_some(greeting));
                served.fetch_add(1, Ordering::Relaxed);
            }
            late
        });
    }
    let progress = async |more: usize| {
        let goal = served.load(Ordering::Relaxed) + more;
        while served.load(Ordering::Relaxed) < goal {
            tokio::task::yield_now().await;
        }
    };
    progress(50).await;

    let mut taken = take(&path).await.expect("an answer").expect("a proxy");
    let inherited = taken.sockets.pop().expect("a socket");
    assert_eq!((inherited.name.as_str(), &inherited.listen), ("orders", &Listen::Tcp(address)));
    let waiting = tokio::spawn(greeting(address));
    let new = proxy(inherited.socket.into(), b'2');
    taken.ready().await.expect("the old one lets go");
    answering.await.expect("no panic").pop().expect("an outcome").expect("handed over");
    old.accepting.await.expect("the old one accepts nobody any more");
    assert!(old.left.load(Ordering::Relaxed));
    gone.store(true, Ordering::Relaxed);
    assert_eq!(
        waiting.await.expect("no panic"),
        b'2',
        "who came in between waited for the new one"
    );

    progress(50).await;
    over.store(true, Ordering::Relaxed);
    let late = clients.join_all().await.concat();
    assert!(
        !late.is_empty() && late.iter().all(|name| *name == b'2'),
        "nobody meets the old one once it has let go: {late:?}"
    );
    drop(new);
}

#[tokio::test]
async fn where_the_new_proxy_dies_the_old_one_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let answering = private(&path, Arc::clone(&old.offer));
    let taken = take(&path).await.expect("an answer").expect("a proxy");
    let waiting = tokio::spawn(greeting(address));
    drop(taken);
    assert_eq!(waiting.await.expect("no panic"), b'1');
    let taken = take(&path).await.expect("an answer").expect("a proxy");
    assert!(!old.left.load(Ordering::Relaxed));
    taken.ready().await.expect("handed over");
    let outcomes = answering.await.expect("no panic");
    assert!(matches!(outcomes.as_slice(), [Err(_), Ok(_)]), "{outcomes:?}");
}

#[tokio::test]
async fn only_one_takes_over() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, _) = bound();
    let old = proxy(listener, b'1');
    let hand_over = |name: &str| {
        let path = directory.path().join(name);
        let socket = UnixListener::bind(&path).expect("a socket");
        let offer = Arc::clone(&old.offer);
        let answer = tokio::spawn(async move {
            offer.hand_over(socket.accept().await.expect("a connection").0).await
        });
        (path, answer)
    };
    let (first, first_answer) = hand_over("first");
    let (second, second_answer) = hand_over("second");
    let (third, third_answer) = hand_over("third");
    let taken = take(&first).await.expect("an answer").expect("a proxy");
    take(&second).await.expect_err("another one does");
    assert_eq!(second_answer.await.expect("no panic").expect_err("busy").class, Class::Usage);
    taken.ready().await.expect("handed over");
    first_answer.await.expect("no panic").expect("handed over");
    take(&third).await.expect_err("another one has");
    assert_eq!(third_answer.await.expect("no panic").expect_err("too late").class, Class::Usage);
}

#[tokio::test]
async fn where_there_is_no_proxy_nothing_is_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    assert!(take(&path).await.expect("no failure").is_none());
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(take(&path).await.expect("no failure").is_none(), "nobody listens any more");
}

#[tokio::test]
async fn what_is_no_handover_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let (listener, address) = bound();
    let old = proxy(listener, b'1');
    let (mut ours, theirs) = UnixStream::pair().expect("a pair");
    ours.write_all(b"TAKEAWAY\n").await.expect("written");
    assert_eq!(old.offer.hand_over(theirs).await.expect_err("another word").class, Class::Protocol);
    for answer in
        [&b"GET / HTTP/1.1"[..], &[0, 0, 0, 2, b'{', b'}'], &[0xff; 8], &[0, 0, 0, 40], &[0], &[]]
    {
        let path = directory.path().join("other");
        let socket = UnixListener::bind(&path).expect("a socket");
        let other = tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.expect("a connection");
            stream.read_exact(&mut [0; TAKEOVER.len()]).await.expect("a word");
            stream.write_all(answer).await.expect("an answer");
        });
        take(&path).await.expect_err("it is no handover");
        other.await.expect("no panic");
        std::fs::remove_file(path).expect("removed");
    }
    assert_eq!(greeting(address).await, b'1');
}

#[tokio::test]
async fn as_many_sockets_as_a_message_takes_are_handed_over_and_no_more() {
    let (listener, address) = bound();
    let label = |place: usize| format!("target {place}");
    let socket = |place| InheritedSocket {
        name: label(place),
        listen: Listen::Unix(format!("/run/{}", "x".repeat(90)).into()),
        socket: listener.try_clone().expect("a duplicate").into(),
    };
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let mut sockets: Vec<InheritedSocket> = (0..message::MOST).map(socket).collect();
    let (sent, received) =
        tokio::join!(message::send(&ours, &sockets), message::receive(&mut theirs));
    sent.expect("sent");
    let received = received.expect("received");
    assert!(received.iter().enumerate().all(|(place, socket)| socket.name == label(place)));
    assert_eq!(received.len(), message::MOST);
    assert_eq!(
        crate::inherited::bound(&received[message::MOST - 1].socket).expect("an address"),
        Listen::Tcp(address)
    );
    sockets.push(socket(0));
    assert_eq!(
        message::send(&ours, &sockets).await.expect_err("too many").class,
        Class::Configuration
    );
}

#[tokio::test]
async fn a_cancel_request_that_comes_to_the_new_proxy_reaches_the_old_ones_session() {
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let cancel = move |target: &str, key: &[u8]| {
        said.send((target.to_owned(), key.to_vec())).expect("the test listens")
    };
    let offer = HandoverServer::new(AcceptGate::default(), || Ok(Vec::new()), || {}, cancel);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("private");
    let socket = UnixListener::bind(&path).expect("a socket");
    let answering = tokio::spawn(async move {
        let successor = offer
            .hand_over(socket.accept().await.expect("a connection").0)
            .await
            .expect("handed over");
        successor.answer(&offer).await
    });
    let taken = take(&path).await.expect("an answer").expect("a proxy");
    let predecessor = taken.ready().await.expect("handed over");
    for key in [&[7; 8][..], &[255; 260]] {
        predecessor.cancel("orders", key).await.expect("passed on");
        assert_eq!(heard.recv().await.expect("heard"), ("orders".to_owned(), key.to_vec()));
    }
    assert_eq!(
        predecessor.cancel("orders", &[255; 2_000]).await.expect_err("no key").class,
        Class::Protocol
    );
    drop(predecessor);
    answering.await.expect("no panic").expect("the new one has gone");
}

#[tokio::test]
async fn what_is_no_call_ends_the_answers() {
    let offer = HandoverServer::new(
        AcceptGate::default(),
        || Ok(Vec::new()),
        || {},
        |_, _| panic!("nobody cancels"),
    );
    for nonsense in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02[]", b"\0\0\0\x09{"] {
        let (mut ours, theirs) = UnixStream::pair().expect("a pair");
        ours.write_all(nonsense).await.expect("written");
        drop(ours);
        Successor::new(theirs).answer(&offer).await.expect_err("no call");
    }
}
