//! One question by multicast DNS (RFC 6762, section 6.7): asked from another port than 5353 it is
//! answered to the asker alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// What this machine announces of a type.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    /// Names of instances.
    pub instances: Vec<String>,
    /// Strings of their records.
    pub records: Vec<String>,
}

/// Types of records.
const PTR: u16 = 12;
const TXT: u16 = 16;
/// How long answers are waited for; they come within milliseconds.
const LONGEST: Duration = Duration::from_millis(700);
/// Records of one packet that are read.
const MOST: usize = 256;

/// Ask who announces a service such as `_adisk._tcp.local`; `None` if nobody on this machine
/// answers. What other machines answer is not taken.
pub fn ask(service: &str) -> Option<Announced> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.set_multicast_loop_v4(true).ok()?;
    socket.set_multicast_ttl_v4(255).ok()?;
    let group = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 251), 5353));
    socket.send_to(&question(service), group).ok()?;
    let begun = Instant::now();
    let mut all: Option<Announced> = None;
    let mut packet = [0u8; 9000];
    loop {
        let left = LONGEST.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        let Some(left) = left else { return all };
        socket.set_read_timeout(Some(left)).ok()?;
        let Ok((length, from)) = socket.recv_from(&mut packet) else { return all };
        if let Some(answer) = packet.get(..length).filter(|_| is_here(from.ip())).and_then(read) {
            let all = all.get_or_insert_default();
            all.instances.extend(answer.instances);
            all.records.extend(answer.records);
        }
    }
}

/// Whether an address is this machine's: only then it can be bound.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn question(service: &str) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in service.split('.') {
        packet.extend(u8::try_from(label.len()));
        packet.extend(label.as_bytes());
    }
    packet.extend([0, 0, 12, 0, 1]);
    packet
}

/// Read an answer.
pub fn read(packet: &[u8]) -> Option<Announced> {
    let number = |at: usize| Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?));
    // The bit that says it is an answer.
    if number(2)? & 0x8000 == 0 {
        return None;
    }
    let mut at = 12;
    for _ in 0..number(4)?.min(16) {
        at = name(packet, at)?.1 + 4;
    }
    let records: usize = [6, 8, 10].into_iter().filter_map(number).map(usize::from).sum();
    let mut all = Announced::default();
    for _ in 0..records.min(MOST) {
        let (_, end) = name(packet, at)?;
        let (kind, length) = (number(end)?, usize::from(number(end + 8)?));
        let begin = end + 10;
        let data = packet.get(begin..begin + length)?;
        match kind {
            PTR => all.instances.push(name(packet, begin)?.0),
            TXT => strings(data, &mut all.records),
            _ => {}
        }
        at = begin + length;
    }
    Some(all)
}

fn strings(mut data: &[u8], all: &mut Vec<String>) {
    while let Some((length, rest)) = data.split_first() {
        let length = usize::from(*length);
        let Some(text) = rest.get(..length) else { return };
        if !text.is_empty() {
            all.push(String::from_utf8_lossy(text).into_owned());
        }
        data = rest.get(length..).unwrap_or_default();
    }
}

/// A name and where it ends; it may go on elsewhere, but never further down.
fn name(packet: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut at, mut end, mut text) = (start, None, String::new());
    loop {
        let length = usize::from(*packet.get(at)?);
        if length & 0xc0 == 0xc0 {
            let to = (length & 0x3f) << 8 | usize::from(*packet.get(at + 1)?);
            end = end.or(Some(at + 2));
            if to >= at {
                return None;
            }
            at = to;
            continue;
        }
        if length == 0 {
            return Some((text, end.unwrap_or(at + 1)));
        }
        if text.len() > 255 {
            return None;
        }
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(&String::from_utf8_lossy(packet.get(at + 1..at + 1 + length)?));
        at += 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_packets_end() {
        assert_eq!(read(&question("_adisk._tcp.local")), None, "a question is no answer");
        let mut answer = question("_adisk._tcp.local");
        (answer[2], answer[7]) = (0x84, 1);
        answer.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 9, 0, 4, 3, b'a', b'=', b'b']);
        assert_eq!(read(&answer).unwrap().records, ["a=b"]);
        for cut in 0..answer.len() {
            assert_eq!(read(&answer[..cut]), None, "{cut}");
        }
        // A name that leads to itself.
        let at = answer.len() - 16;
        answer[at + 1] = u8::try_from(at).unwrap();
        assert_eq!(read(&answer), None);
    }
}
