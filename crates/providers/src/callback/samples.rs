//! Callbacks for tests, and what an attacker makes of them.

use watchword_core::{Callback, CallbackMethod, CallbackRequest, DeliveryStatus, Receipt};

use super::CallbackReader;

/// A callback as it arrives.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: CallbackMethod,
    pub(crate) query: Option<String>,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Sent {
    pub(crate) fn post(query: Option<&str>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            method: CallbackMethod::Post,
            query: query.map(str::to_owned),
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub(crate) fn get(query: &str) -> Self {
        Self {
            method: CallbackMethod::Get,
            ..Self::post(Some(query), "")
        }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn read(&self, reader: &dyn CallbackReader) -> Callback {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        reader.read(&CallbackRequest {
            method: self.method,
            query: self.query.as_deref(),
            headers: &headers,
            body: &self.body,
        })
    }

    /// The only receipt.
    #[track_caller]
    pub(crate) fn receipt(&self, reader: &dyn CallbackReader) -> Receipt {
        match self.read(reader) {
            Callback::Receipts(mut receipts) if receipts.len() == 1 => receipts.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// The status of the only receipt, and why it failed.
    #[track_caller]
    pub(crate) fn said(&self, reader: &dyn CallbackReader) -> (DeliveryStatus, Option<String>) {
        let receipt = self.receipt(reader);
        (receipt.status, receipt.error)
    }

    /// The same with each bit of its body, its query and its headers turned, one at a time.
    pub(crate) fn flipped(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for bit in 0..8 {
            for at in 0..self.body.len() {
                let mut other = self.clone();
                other.body[at] ^= 1 << bit;
                all.push(other);
            }
            for header in 0..self.headers.len() {
                for at in 0..self.headers[header].1.len() {
                    let mut other = self.clone();
                    other.headers[header].1[at] ^= 1 << bit;
                    all.push(other);
                }
            }
            let query = self.query.clone().unwrap_or_default();
            for at in 0..query.len() {
                let mut bytes = query.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                // What is no text never gets here.
                if let Ok(query) = String::from_utf8(bytes) {
                    let query = Some(query);
                    all.push(Self {
                        query,
                        ..self.clone()
                    });
                }
            }
        }
        all
    }
}

/// Bytes that are as good as random, the same at every run (xorshift).
pub(crate) struct Scribbler(pub(crate) u64);

impl Scribbler {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Up to `most` bytes.
    pub(crate) fn bytes(&mut self, most: u64) -> Vec<u8> {
        let length = self.next() % most;
        (0..length).map(|_| self.next().to_le_bytes()[3]).collect()
    }

    /// The same with some bytes replaced, left out, or put in.
    pub(crate) fn damaged(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.next() % 4 {
            let at = usize::try_from(self.next()).unwrap() % (bytes.len() + 1);
            let byte = self.next().to_le_bytes()[3];
            match self.next() % 3 {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    }
}
