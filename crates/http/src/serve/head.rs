//! Finds the end of an HTTP/1 request head, and refuses heads that two servers could read differently.
//!
//! hyper is lenient where a server alone on a wire may be: it takes a bare line feed for a line end,
//! drops `Content-Length` beside `Transfer-Encoding`, and merges equal lengths. Behind a proxy that
//! reads the same bytes otherwise, each of these lets one request hide in another (RFC 9112, section
//! 11.2). Parsing stays hyper's; this only refuses, before hyper sees the head.

use memchr::memchr;

/// What is known of the bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The head has not ended.
    Incomplete,
    /// The head ends before this offset.
    Complete(usize),
    /// The head must be refused.
    Ambiguous,
}

/// The state of reading one head. Lines already judged are not read again as more bytes arrive.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Offset of the first line not yet judged.
    line_start: usize,
    lines: usize,
    http_11: bool,
    lengths: u8,
    encodings: u8,
    hosts: u8,
}

impl HeadScan {
    /// Judges `bytes`, which begin where the head begins and never shrink between calls.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Verdict {
        while let Some(length) = memchr(b'\n', &bytes[self.line_start..]) {
            let end = self.line_start + length;
            let Some(line) = bytes[self.line_start..end].strip_suffix(b"\r") else {
                return Verdict::Ambiguous;
            };
            self.line_start = end + 1;
            if line.is_empty() {
                if self.lines > 0 {
                    return self.verdict();
                }
                continue; // RFC 9112 2.2: empty lines before the request line are ignored
            }
            if !self.admits(line) {
                return Verdict::Ambiguous;
            }
            self.lines = self.lines.saturating_add(1);
        }
        Verdict::Incomplete
    }

    fn admits(&mut self, line: &[u8]) -> bool {
        if self.lines == 0 {
            self.http_11 = line.ends_with(b" HTTP/1.1");
            return true;
        }
        match line[0] {
            b' ' | b'\t' => false, // obs-fold
            b'c' | b'C' if value_of(line, b"content-length").is_some() => {
                self.lengths = self.lengths.saturating_add(1);
                self.lengths == 1
            }
            b't' | b'T' => match value_of(line, b"transfer-encoding") {
                Some(value) => {
                    self.encodings = self.encodings.saturating_add(1);
                    self.encodings == 1 && value.eq_ignore_ascii_case(b"chunked")
                }
                None => true,
            },
            b'h' | b'H' if value_of(line, b"host").is_some() => {
                self.hosts = self.hosts.saturating_add(1);
                self.hosts == 1
            }
            _ => true,
        }
    }

    fn verdict(&self) -> Verdict {
        let host_missing = self.http_11 && self.hosts == 0; // RFC 9112 3.2: MUST be 400
        if host_missing || (self.lengths > 0 && self.encodings > 0) {
            Verdict::Ambiguous
        } else {
            Verdict::Complete(self.line_start)
        }
    }
}

/// The value of `line` if it is the header `name` (in lower case). White space before the colon counts
/// as part of the name here, so that hyper refuses it.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(head: &str) -> Verdict {
        HeadScan::default().advance(head.as_bytes())
    }

    #[test]
    fn heads_that_two_servers_could_read_differently_are_ambiguous() {
        let table = [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 3\r\nCONTENT-LENGTH: 4\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\tb: c\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: no host\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
        ];
        for head in table {
            assert_eq!(judge(head), Verdict::Ambiguous, "{head:?}");
        }
    }

    #[test]
    fn an_ordinary_head_ends_after_its_empty_line_and_no_later() {
        let table = [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
            "POST /?host= HTTP/1.1\r\nHOST:a\r\nContent-Length:3\r\nTE: trailers\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked \r\nX: \r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length-Hint: 1\r\nContent-Length: 0\r\n\r\n",
        ];
        for head in table {
            assert_eq!(judge(head), Verdict::Complete(head.len()), "{head:?}");
            let followed = format!("{head}body\nwith\nlines\r\n\r\n");
            assert_eq!(judge(&followed), Verdict::Complete(head.len()), "{head:?}");
        }
    }

    #[test]
    fn the_verdict_does_not_depend_on_how_the_bytes_arrive() {
        let heads = [
            "\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        ];
        for head in heads {
            let mut scan = HeadScan::default();
            let mut dripped = Verdict::Incomplete;
            for end in 1..=head.len() {
                dripped = scan.advance(&head.as_bytes()[..end]);
                if dripped != Verdict::Incomplete {
                    break;
                }
            }
            assert_eq!(dripped, judge(head), "{head:?}");
        }
    }
}
