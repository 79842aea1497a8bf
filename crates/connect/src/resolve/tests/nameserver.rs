//! A name server on loopback with the zone of the test.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hickory_resolver::proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::resolve::Resolver;
use crate::testing::Loads;

/// Records of a name.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Alias(&'static str),
    Addresses(Vec<IpAddr>),
    /// The server replies SERVFAIL.
    Failing,
}

pub(super) fn alias(name: &'static str, of: &'static str) -> (&'static str, Entry) {
    (name, Entry::Alias(of))
}

pub(super) fn addresses(name: &'static str, addresses: &[&str]) -> (&'static str, Entry) {
    (name, Entry::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

/// A name server that runs until it is dropped.
pub(super) struct NameServer {
    task: JoinHandle<()>,
    address: SocketAddr,
    queries: Loads,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    pub(super) async fn start(zone: impl IntoIterator<Item = (&'static str, Entry)>) -> Self {
        let zone: HashMap<&str, Entry> = zone.into_iter().collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, queries) = (socket.local_addr().unwrap(), Loads::default());
        let counted = queries.clone();
        let zone = Arc::new(zone);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                counted.next();
                let response = response(&zone, &Message::from_vec(&buffer[..count]).unwrap())
                    .to_vec()
                    .unwrap();
                socket.send_to(&response, from).await.unwrap();
            }
        });
        Self { task, address, queries }
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::with_nameservers(&[self.address]).unwrap()
    }

    /// Number of queries received.
    pub(super) fn queries(&self) -> usize {
        self.queries.count()
    }
}

fn response(zone: &HashMap<&str, Entry>, request: &Message) -> Message {
    let query = request.queries[0].clone();
    let mut response = Message::new(request.metadata.id, MessageType::Response, OpCode::Query);
    response.metadata.recursion_desired = true;
    response.metadata.recursion_available = true;
    response.add_query(query.clone());
    let mut name = query.name().clone();
    // Follows aliases within the response, as a recursive server does.
    for _ in 0..16 {
        match zone.get(name.to_ascii().trim_end_matches('.').to_ascii_lowercase().as_str()) {
            Some(Entry::Alias(target)) => {
                let target = Name::from_ascii(format!("{target}.")).unwrap();
                response.add_answer(Record::from_rdata(
                    name,
                    60,
                    RData::CNAME(CNAME(target.clone())),
                ));
                if query.query_type() == RecordType::CNAME {
                    break;
                }
                name = target;
            }
            Some(Entry::Addresses(addresses)) => {
                let wanted = addresses.iter().filter_map(|address| record(&query, *address));
                response.add_answers(wanted.map(|data| Record::from_rdata(name.clone(), 60, data)));
                break;
            }
            Some(Entry::Failing) => {
                response.metadata.response_code = ResponseCode::ServFail;
                break;
            }
            None => {
                response.metadata.response_code = ResponseCode::NXDomain;
                break;
            }
        }
    }
    response
}

fn record(query: &Query, address: IpAddr) -> Option<RData> {
    match (query.query_type(), address) {
        (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
        (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}
