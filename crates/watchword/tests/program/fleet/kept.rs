//! A client that keeps a connection to each node for as long as it is let, and knows nothing
//! better: what crosses the end of a connection is lost, and fails.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::restart::Client;
use crate::server::{Answer, Server};

/// Where nodes are, and which of them are given new connections, as a load balancer has it.
pub(super) struct Places(Mutex<Vec<Option<String>>>);

fn address(node: &Server) -> Option<String> {
    node.api.strip_prefix("http://").map(str::to_owned)
}

impl Places {
    pub(super) fn of(nodes: &[Server]) -> Self {
        Self(Mutex::new(nodes.iter().map(address).collect()))
    }

    pub(super) fn leave_out(&self, place: usize) {
        self.0.lock().unwrap()[place] = None;
    }

    pub(super) fn take_in(&self, place: usize, node: &Server) {
        self.0.lock().unwrap()[place] = address(node);
    }
}

pub(super) struct Kept {
    places: Arc<Places>,
    key: String,
    /// By place; of a node that was replaced, too, until it says that it closes.
    connections: Vec<Option<TcpStream>>,
}

impl Kept {
    pub(super) fn at(places: &Arc<Places>, key: &str) -> Self {
        let count = places.0.lock().unwrap().len();
        Self {
            places: Arc::clone(places),
            key: key.to_owned(),
            connections: (0..count).map(|_| None).collect(),
        }
    }

    /// The connection of that place, kept or new; none where the balancer gives none.
    async fn connection(&mut self, place: usize) -> Option<TcpStream> {
        if let Some(kept) = self.connections[place].take() {
            return Some(kept);
        }
        let address = self.places.0.lock().unwrap()[place].clone();
        Some(TcpStream::connect(address?).await.unwrap())
    }
}

impl Client for Kept {
    async fn send(&mut self, turn: usize, method: &str, path: &str, body: &Value) -> Answer {
        for node in turn.. {
            let place = node % self.connections.len();
            let Some(mut connection) = self.connection(place).await else {
                continue;
            };
            let body = body.to_string();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                self.key,
                body.len()
            );
            connection.write_all(request.as_bytes()).await.unwrap();
            let answer = read(&mut connection).await;
            if !answer.headers.contains("connection: close") {
                self.connections[place] = Some(connection);
            }
            return answer;
        }
        unreachable!("there is always a next node")
    }
}

async fn read(connection: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.split_once("content-length: ").unwrap().1;
            let length = length
                .split_once("\r\n")
                .map_or(length, |(length, _)| length);
            if body.len() == length.parse::<usize>().unwrap() {
                return Answer {
                    status: head[9..12].parse().unwrap(),
                    text: body.to_owned(),
                    headers: head,
                };
            }
        }
        let read = connection.read_buf(&mut bytes).await;
        assert!(
            read.is_ok_and(|read| read > 0),
            "a kept connection closed under a request"
        );
    }
}
