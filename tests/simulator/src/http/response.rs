// SPDX-FileCopyrightText: 2026 the spvirt authors
// SPDX-License-Identifier: LGPL-2.1-or-later

//! Writing one reply, also in the ways a broken server would.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

/// A reply.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Headers beside the usual ones.
    pub extra: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// A reply with a JSON body.
    pub fn json(status: u16, body: String) -> Self {
        Self {
            status,
            extra: Vec::new(),
            body: body.into_bytes(),
        }
    }

    fn head(&self, old: bool, framing: &str) -> String {
        let version = if old { "1.0" } else { "1.1" };
        let reason = match self.status {
            200 => "OK",
            302 => "Found",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            500 => "Internal Server Error",
            503 => "Service Unavailable",
            _ => "Status",
        };
        let mut extra = String::new();
        for (name, value) in &self.extra {
            extra.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        format!(
            "HTTP/{version} {} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\nCache-control: private\r\n{extra}{framing}\r\n",
            self.status
        )
    }

    /// Sends the reply and closes.
    pub fn send(&self, stream: &mut TcpStream, old: bool) -> io::Result<()> {
        let framing = format!("Content-Length: {}\r\n", self.body.len());
        let mut all = self.head(old, &framing).into_bytes();
        all.extend_from_slice(&self.body);
        stream.write_all(&all)?;
        close(stream)
    }

    /// Sends the body in small pieces, `pause` apart.
    pub fn drip(&self, stream: &mut TcpStream, old: bool, pause: Duration) -> io::Result<()> {
        let framing = format!("Content-Length: {}\r\n", self.body.len());
        stream.write_all(self.head(old, &framing).as_bytes())?;
        for piece in self.body.chunks(16) {
            thread::sleep(pause);
            stream.write_all(piece)?;
        }
        close(stream)
    }

    /// Announces the whole body, sends half of it, and closes.
    pub fn cut_short(&self, stream: &mut TcpStream, old: bool, chunked: bool) -> io::Result<()> {
        let half = self.body.get(..self.body.len() / 2).unwrap_or_default();
        let framing = if chunked {
            "Transfer-Encoding: chunked\r\n".to_owned()
        } else {
            format!("Content-Length: {}\r\n", self.body.len())
        };
        stream.write_all(self.head(old && !chunked, &framing).as_bytes())?;
        if chunked {
            stream.write_all(format!("{:x}\r\n", self.body.len()).as_bytes())?;
        }
        stream.write_all(half)?;
        close(stream)
    }

    /// Sends `opening`, then `filler` again and again: so many bytes, or until the peer has had enough.
    pub fn flood(stream: &mut TcpStream, old: bool, bytes: Option<u64>) -> io::Result<()> {
        let filler = br#"{"volume":"flood","snapshot":false,"client":4095,"rights":"ro","pos":0,"globalId":"s.b.flood"},"#.repeat(512);
        let opening = br#"{"generation":1,"data":["#;
        let reply = Self {
            status: 200,
            extra: Vec::new(),
            body: Vec::new(),
        };
        stream.write_all(reply.head(old, "").as_bytes())?;
        stream.write_all(opening)?;
        let mut sent = 0;
        while bytes.is_none_or(|limit| sent < limit) {
            stream.write_all(&filler)?;
            sent += u64::try_from(filler.len()).unwrap_or(u64::MAX);
        }
        let last = br#"{"volume":"flood","snapshot":false,"client":4095,"rights":"ro","pos":0,"globalId":"s.b.flood"}]}"#;
        stream.write_all(last)?;
        close(stream)
    }
}

/// Closes after the reply has gone out.
fn close(stream: &mut TcpStream) -> io::Result<()> {
    stream.flush()?;
    stream.shutdown(Shutdown::Write)
}

/// Closes with RST rather than FIN.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO))?;
    Ok(())
}
