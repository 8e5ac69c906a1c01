// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Reading one request.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Longest head and longest body we read.
const HEAD_MAX: usize = 64 << 10;
const BODY_MAX: usize = 64 << 20;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `POST`...
    pub method: String,
    /// Raw request target: nothing is unescaped, no fragment is cut off.
    pub target: String,
    /// HTTP/1.0 rather than 1.1.
    pub old: bool,
    /// Headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    /// Reads a request; `None` if the peer closes before it has sent one.
    pub fn read(stream: &mut TcpStream) -> io::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let (mut request, head) = loop {
            if let Some(found) = parse_head(&bytes)? {
                break found;
            }
            if bytes.len() > HEAD_MAX {
                return Err(io::Error::other("the request's head is too long"));
            }
            let mut chunk = [0; 8192];
            let got = match stream.read(&mut chunk) {
                Ok(0) => return Ok(None),
                // A read with a time limit is not taken up again by the kernel when the process was stopped for a moment.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                got => got?,
            };
            bytes.extend(chunk.iter().take(got));
        };
        if request.header("Transfer-Encoding").is_some() {
            return Err(io::Error::other("chunked requests are not part of this API"));
        }
        let length = match request.header("Content-Length") {
            None => 0,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| io::Error::other("Content-Length is not a number"))?,
        };
        if length > BODY_MAX {
            return Err(io::Error::other("the request's body is too long"));
        }
        request.body = bytes.split_off(head);
        if request
            .header("Expect")
            .is_some_and(|v| v.eq_ignore_ascii_case("100-continue"))
            && request.body.len() < length
        {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let missing = u64::try_from(length.saturating_sub(request.body.len())).unwrap_or(0);
        io::Read::by_ref(stream)
            .take(missing)
            .read_to_end(&mut request.body)?;
        if request.body.len() < length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the body is shorter than announced",
            ));
        }
        request.body.truncate(length);
        Ok(Some(request))
    }
}

/// The request without body, and where its head ends.
fn parse_head(bytes: &[u8]) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut head = httparse::Request::new(&mut headers);
    let end = match head.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(end) => end,
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: head.path.unwrap_or_default().to_owned(),
        old: head.version == Some(0),
        headers: head
            .headers
            .iter()
            .map(|h| (h.name.to_owned(), text(h.value)))
            .collect(),
        body: Vec::new(),
    };
    Ok(Some((request, end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_stays_raw() {
        for target in [
            "/ctrl/1.0/Volume/#x",
            "/ctrl/1.0/Volume/~a.b.c",
            "/ctrl/1.0/Snapshot/*s@1",
            "/x?json=%7B%7D",
        ] {
            let head = format!("GET {target} HTTP/1.0\r\nAuthorization: Storpool v1:t\r\n\r\n");
            let (request, end) = parse_head(head.as_bytes()).unwrap().unwrap();
            assert_eq!(request.target, target);
            assert!(request.old);
            assert_eq!(request.header("authorization"), Some("Storpool v1:t"));
            assert_eq!(end, head.len());
        }
        assert!(parse_head(b"GET / HTTP/1.1\r\nA: b\r\n").unwrap().is_none());
    }
}
