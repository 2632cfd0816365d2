//! One kept-alive connection, as cheap as a client can be: the load shares its cores with the server.
//!
//! A request is written as one piece, the answer is read up to its `Content-Length`, and nothing is
//! allocated once the buffers have grown.

use std::fmt::Write as _;
use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;

/// A connection to one server.
pub(crate) struct Connection {
    stream: TcpStream,
    address: SocketAddr,
    host: String,
    output: String,
    input: Vec<u8>,
}

/// What a server answered, until the next request.
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

/// Where an answer is, once the whole of it is there.
struct Frame {
    status: u16,
    body: usize,
    end: usize,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self {
            stream: connect(address).await?,
            address,
            host: address.to_string(),
            output: String::with_capacity(1024),
            input: Vec::with_capacity(4096),
        })
    }

    /// Puts another connection in place of one that broke.
    pub(crate) async fn reopen(&mut self) -> Result<(), Failure> {
        self.stream = connect(self.address).await?;
        Ok(())
    }

    /// Sends a request and reads its answer. With `source`, in the name of that client.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        path: &str,
        source: Option<[u8; 4]>,
        body: &str,
    ) -> Result<Answer<'_>, Failure> {
        self.output.clear();
        self.input.clear();
        write!(
            self.output,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\n",
            self.host
        )?;
        if let Some([a, b, c, d]) = source {
            write!(self.output, "x-forwarded-for: {a}.{b}.{c}.{d}\r\n")?;
        }
        if !body.is_empty() {
            self.output.push_str("content-type: application/json\r\n");
        }
        write!(self.output, "content-length: {}\r\n\r\n{body}", body.len())?;
        self.stream.write_all(self.output.as_bytes()).await?;
        let frame = loop {
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err("the server closed the connection".into());
            }
            if let Some(frame) = frame(&self.input)? {
                break frame;
            }
        };
        Ok(Answer {
            status: frame.status,
            body: &self.input[frame.body..frame.end],
        })
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads the head of an answer, if it and its body are there.
fn frame(input: &[u8]) -> Result<Option<Frame>, Failure> {
    let Some(head) = memmem::find(input, b"\r\n\r\n") else {
        return Ok(None);
    };
    let status = input.get(9..12).and_then(number).ok_or("no status")?;
    let status = u16::try_from(status)?;
    let body = head + 4;
    let length = content_length(&input[..head]);
    let length = match length {
        Some(length) => length,
        None if status == 204 => 0,
        None => return Err("an answer without a Content-Length".into()),
    };
    let end = body + length;
    Ok((input.len() >= end).then_some(Frame { status, body, end }))
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length: ";
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let value = value.strip_suffix(b"\r").unwrap_or(value);
        name.eq_ignore_ascii_case(NAME)
            .then(|| number(value))
            .flatten()
    })
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The text that follows `key` in JSON without spaces, up to its closing quote.
pub(crate) fn text_after<'a>(body: &'a [u8], key: &str) -> Option<&'a str> {
    let start = memmem::find(body, key.as_bytes())? + key.len();
    let rest = &body[start..];
    let end = memchr::memchr(b'"', rest)?;
    std::str::from_utf8(&rest[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_only_with_all_of_its_body() {
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\nabcd";
        for cut in 0..answer.len() {
            assert!(frame(&answer[..cut]).unwrap().is_none(), "{cut}");
        }
        let whole = frame(answer).unwrap().unwrap();
        assert_eq!(whole.status, 201);
        assert_eq!(&answer[whole.body..whole.end], b"abcd");
    }

    #[test]
    fn text_is_found_by_what_stands_before_it() {
        let body = br#"[{"id":"x","code":"123456"}]"#;
        assert_eq!(text_after(body, "\"code\":\""), Some("123456"));
        assert_eq!(text_after(body, "\"otp\":\""), None);
    }
}
