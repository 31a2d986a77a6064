//! As much HTTP/1.1 as the generators need: answers with a `Content-Length`, connections that stay open.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// Where an answer's parts are in the bytes read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The status.
    pub status: u16,
    /// Bytes before the body.
    pub head: usize,
    /// Bytes of the body.
    pub body: usize,
}

/// Finds the frame of an answer; `None` while its head is incomplete or if it is not one that we understand.
pub fn frame(bytes: &[u8]) -> Option<Frame> {
    let status = std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()?;
    let mut body = 0;
    let mut start = 0;
    loop {
        let end = start + bytes.get(start..)?.iter().position(|byte| *byte == b'\n')?;
        let line = bytes[start..end].trim_ascii();
        start = end + 1;
        if line.is_empty() {
            return Some(Frame { status, head: start, body });
        }
        if line.len() > 15 && line[..15].eq_ignore_ascii_case(b"content-length:") {
            body = std::str::from_utf8(line[15..].trim_ascii()).ok()?.parse().ok()?;
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Status line and header lines.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The values of a header, by its lower-case name.
    pub fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(move |(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A blocking connection for one request at a time.
pub struct Connection(TcpStream);

impl Connection {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Self, Failure> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(stream))
    }

    /// Sends a request and reads its answer.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer, Failure> {
        self.0.write_all(request)?;
        let mut bytes = Vec::with_capacity(4096);
        let mut chunk = [0; 8192];
        loop {
            if let Some(Frame { status, head, body }) = frame(&bytes)
                && bytes.len() >= head + body
            {
                let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
                return Ok(Answer { status, head: text(&bytes[..head]), body: text(&bytes[head..head + body]) });
            }
            match self.0.read(&mut chunk)? {
                0 => return Err("the connection was closed before the answer was complete".into()),
                read => bytes.extend_from_slice(&chunk[..read]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_once_its_head_is_complete() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: a\r\ncontent-length: 12\r\n\r\nHello, world";
        let head = answer.len() - 12;
        assert_eq!(frame(answer), Some(Frame { status: 200, head, body: 12 }));
        for cut in 0..head {
            assert_eq!(frame(&answer[..cut]), None);
        }
        assert_eq!(frame(b"HTTP/1.1 303 See Other\r\n\r\n"), Some(Frame { status: 303, head: 26, body: 0 }));
    }
}
