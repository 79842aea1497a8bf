//! A name server on loopback, with a zone that the test writes.

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

/// What a name has.
#[derive(Debug, Clone)]
pub(super) enum Entry {
    Alias(&'static str),
    Addresses(Vec<IpAddr>),
    /// The server fails over it.
    Failing,
}

pub(super) fn alias(name: &'static str, of: &'static str) -> (&'static str, Entry) {
    (name, Entry::Alias(of))
}

pub(super) fn addresses(name: &'static str, addresses: &[&str]) -> (&'static str, Entry) {
    (name, Entry::Addresses(addresses.iter().map(|address| address.parse().unwrap()).collect()))
}

/// A server as long as this is held.
pub(super) struct NameServer {
    task: JoinHandle<()>,
    address: SocketAddr,
    asked: Loads,
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
        let (address, asked) = (socket.local_addr().unwrap(), Loads::default());
        let counted = asked.clone();
        let zone = Arc::new(zone);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1500];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                counted.next();
                let answer =
                    answer(&zone, &Message::from_vec(&buffer[..count]).unwrap()).to_vec().unwrap();
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self { task, address, asked }
    }

    pub(super) fn resolver(&self) -> Resolver {
        Resolver::with(&[self.address]).unwrap()
    }

    /// How many questions have come.
    pub(super) fn asked(&self) -> usize {
        self.asked.count()
    }
}

fn answer(zone: &HashMap<&str, Entry>, question: &Message) -> Message {
    let query = question.queries[0].clone();
    let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let mut name = query.name().clone();
    // As a recursive server does: aliases are followed within the answer.
    for _ in 0..16 {
        match zone.get(name.to_ascii().trim_end_matches('.').to_ascii_lowercase().as_str()) {
            Some(Entry::Alias(target)) => {
                let target = Name::from_ascii(format!("{target}.")).unwrap();
                answer.add_answer(Record::from_rdata(
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
                answer.add_answers(wanted.map(|data| Record::from_rdata(name.clone(), 60, data)));
                break;
            }
            Some(Entry::Failing) => {
                answer.metadata.response_code = ResponseCode::ServFail;
                break;
            }
            None => {
                answer.metadata.response_code = ResponseCode::NXDomain;
                break;
            }
        }
    }
    answer
}

fn record(query: &Query, address: IpAddr) -> Option<RData> {
    match (query.query_type(), address) {
        (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
        (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(address))),
        _ => None,
    }
}
