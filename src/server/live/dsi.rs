//! DSIGetStatus: what an AFP server says of itself to anybody, without a log-in.

use super::super::host::Version;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// The command and the length of its header (Apple, "AFP over TCP").
const GET_STATUS: u8 = 3;
const HEADER: usize = 16;
/// No status is longer.
const MOST: usize = 64 << 10;

/// What a server says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// `Netatalk4.5.1`.
    pub machine: String,
    /// `AFP3.4` and older.
    pub versions: Vec<String>,
    /// `DHX2`, `Cleartxt Passwrd`.
    pub log_ins: Vec<String>,
}

impl Status {
    /// Netatalk's version, if it is one.
    pub fn netatalk(&self) -> Option<Version> {
        // The name is cut at 16 bytes, before the version: `Netatal2.2.10dev`.
        let rest = self.machine.strip_prefix("Netatal")?;
        let mut parts = rest.strip_prefix('k').unwrap_or(rest).split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// Whether a Mac of today finds a way to log in.
    pub fn is_modern(&self) -> bool {
        let modern = ["DHX2", "SRP", "Client Krb v2", "Recon1"];
        self.log_ins.iter().any(|l| modern.contains(&l.as_str()))
    }
}

/// Ask the server of this machine.
pub fn ask(port: u16) -> Option<Status> {
    let limit = Duration::from_secs(2);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    stream.set_write_timeout(Some(limit)).ok()?;
    let mut request = [0u8; HEADER];
    request[1] = GET_STATUS;
    request[3] = 1;
    stream.write_all(&request).ok()?;
    let mut header = [0u8; HEADER];
    stream.read_exact(&mut header).ok()?;
    let length = usize::try_from(u32::from_be_bytes(header.get(8..12)?.try_into().ok()?)).ok()?;
    let mut reply = header.to_vec();
    reply.resize(HEADER + length.min(MOST), 0);
    stream.read_exact(reply.get_mut(HEADER..)?).ok()?;
    read(&reply)
}

/// Read a reply, header and all.
pub fn read(reply: &[u8]) -> Option<Status> {
    let is_reply = reply.first() == Some(&1) && reply.get(1) == Some(&GET_STATUS);
    let body = reply.get(HEADER..).filter(|_| is_reply)?;
    let offset = |at: usize| {
        let two = body.get(at..at + 2)?.try_into().ok()?;
        Some(usize::from(u16::from_be_bytes(two)))
    };
    Some(Status {
        machine: pascal(body, offset(0)?)?.0,
        versions: list(body, offset(2)?)?,
        log_ins: list(body, offset(4)?)?,
    })
}

/// A string behind its length, and where it ends.
fn pascal(body: &[u8], at: usize) -> Option<(String, usize)> {
    let end = at + 1 + usize::from(*body.get(at)?);
    Some((String::from_utf8_lossy(body.get(at + 1..end)?).into_owned(), end))
}

fn list(body: &[u8], at: usize) -> Option<Vec<String>> {
    let mut next = at + 1;
    let one = |_| {
        let (text, end) = pascal(body, next)?;
        next = end;
        Some(text)
    };
    (0..*body.get(at)?).map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_that_is_cut_anywhere_is_none() {
        let mut reply = vec![0u8; HEADER];
        (reply[0], reply[1]) = (1, 3);
        reply.extend([0, 10, 0, 16, 0, 24, 0, 0, 0, 0]);
        reply.extend(b"\x05Macx2\x01\x06AFP3.4\x01\x04DHX2");
        let status = read(&reply).unwrap();
        assert_eq!((status.machine.as_str(), status.versions.len()), ("Macx2", 1));
        assert!(status.is_modern() && status.netatalk().is_none());
        for cut in 0..reply.len() {
            assert_eq!(read(&reply[..cut]), None, "{cut}");
        }
    }
}
