//! Property lists that may be torn or hostile: measured before they are built.
//!
//! The parser recurses, and a binary list may name one child many times, which the parser
//! copies each time: sixty short lines make 2^60 objects. So depth, objects and bytes are
//! counted first, without building anything.

use crate::io::bytes::{array, to_usize};
use plist::Value;

/// Deepest nesting that is parsed; macOS writes five levels.
const MAX_NESTING: usize = 64;
/// Most objects, shared ones counted as often as they are named.
const MAX_OBJECTS: usize = 100_000;
/// Most bytes of strings and data, counted likewise.
const MAX_BYTES: usize = 8 << 20;

/// Parse an XML or binary property list; XML may be in UTF-8 or UTF-16.
pub(crate) fn parse_plist(bytes: &[u8]) -> Result<Value, String> {
    if bytes.is_empty() {
        return Err("it is empty (0 bytes)".into());
    }
    if crate::io::bytes::all_zero(bytes) {
        return Err(format!("it holds only zeros ({} bytes)", bytes.len()));
    }
    let invalid = || "it is not a valid property list".to_owned();
    let value =
        |bytes: &[u8]| Value::from_reader(std::io::Cursor::new(bytes)).map_err(|_| invalid());
    if bytes.starts_with(b"bplist") {
        measure(bytes)?;
        return value(bytes);
    }
    let text = utf8(bytes);
    let body = text.as_deref().unwrap_or(bytes);
    // A torn write on a NAS leaves zeros behind the text.
    let end = body.iter().rposition(|b| *b != 0).map_or(0, |n| n + 1);
    let body = body.get(..end).unwrap_or(body).trim_ascii_end();
    // Else the parser tries the lists of OpenStep, as deep as they are; no Mac writes those.
    if !body.trim_ascii_start().starts_with(b"<") {
        return Err(invalid());
    }
    if nesting(body) > MAX_NESTING {
        return Err("its property list is nested too deeply".into());
    }
    if elements(body) > MAX_OBJECTS {
        return Err("its property list has too many objects".into());
    }
    value(body)
}

/// XML text as UTF-8 without a mark of the byte order, if it is not that already.
fn utf8(bytes: &[u8]) -> Option<Vec<u8>> {
    type Unit = fn([u8; 2]) -> u16;
    let (unit, body): (Unit, &[u8]) = match bytes {
        [0xEF, 0xBB, 0xBF, body @ ..] => return Some(body.to_vec()),
        [0xFE, 0xFF, body @ ..] => (u16::from_be_bytes, body),
        [0xFF, 0xFE, body @ ..] => (u16::from_le_bytes, body),
        [0, b'<', ..] => (u16::from_be_bytes, bytes),
        [b'<', 0, ..] => (u16::from_le_bytes, bytes),
        _ => return None,
    };
    let (pairs, _) = body.as_chunks::<2>();
    let text: String = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)))
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    // The declaration would be wrong now.
    Some(match text.find("?>") {
        Some(end) if text.starts_with("<?xml") => {
            text.get(end + 2..).unwrap_or_default().as_bytes().to_vec()
        }
        _ => text.into_bytes(),
    })
}

/// At least as many elements as XML text has.
fn elements(xml: &[u8]) -> usize {
    let next = xml.iter().skip(1);
    xml.iter().zip(next).filter(|(c, next)| **c == b'<' && next.is_ascii_alphabetic()).count()
}

/// Depth of elements in XML text.
fn nesting(xml: &[u8]) -> usize {
    let (mut depth, mut deepest, mut at) = (0usize, 0, 0);
    while let Some(next) = xml.get(at..).and_then(|x| x.iter().position(|b| *b == b'<')) {
        at += next;
        let rest = xml.get(at..).unwrap_or_default();
        at += match rest {
            [b'<', b'!', b'-', b'-', ..] => behind(rest, b"-->"),
            [b'<', b'!', b'[', ..] => behind(rest, b"]]>"),
            [b'<', b'?', ..] => behind(rest, b"?>"),
            [b'<', b'/', ..] => {
                depth = depth.saturating_sub(1);
                2
            }
            [b'<', c, ..] if c.is_ascii_alphabetic() => {
                let (len, closed) = tag(rest);
                depth += usize::from(!closed);
                deepest = deepest.max(depth + usize::from(closed));
                len
            }
            _ => 1,
        };
    }
    deepest
}

fn behind(text: &[u8], end: &[u8]) -> usize {
    text.windows(end.len()).position(|w| w == end).map_or(text.len(), |n| n + end.len())
}

/// Length of an opening tag, and whether it closes itself.
fn tag(text: &[u8]) -> (usize, bool) {
    let (mut quote, mut last) = (None, 0);
    for (n, c) in text.iter().enumerate() {
        match (quote, c) {
            (None, b'"' | b'\'') => quote = Some(*c),
            (Some(q), c) if q == *c => quote = None,
            (None, b'>') => return (n + 1, last == b'/'),
            _ => {}
        }
        last = *c;
    }
    (text.len(), false)
}

/// The parts of a binary property list that its trailer tells.
struct Binary<'a> {
    bytes: &'a [u8],
    offset_size: usize,
    reference_size: usize,
    objects: u64,
    table: usize,
}

/// An error if a binary property list is deeper or larger than any that macOS writes.
fn measure(bytes: &[u8]) -> Result<(), String> {
    let cut = || "it is not a valid property list".to_owned();
    let trailer: [u8; 32] =
        bytes.len().checked_sub(32).and_then(|at| array(bytes, at)).ok_or_else(cut)?;
    let number = |at: usize| array(&trailer, at).map_or(0, u64::from_be_bytes);
    let [_, _, _, _, _, _, offset_size, reference_size, ..] = trailer;
    let list = Binary {
        bytes,
        offset_size: offset_size.into(),
        reference_size: reference_size.into(),
        objects: number(8),
        table: to_usize(number(24)),
    };
    let mut left = vec![(number(16), 1)];
    let (mut seen, mut size) = (0, 0usize);
    while let Some((object, depth)) = left.pop() {
        seen += 1;
        if depth > MAX_NESTING {
            return Err("its property list is nested too deeply".into());
        }
        let (own, children) = list.object(object).ok_or_else(cut)?;
        size = size.saturating_add(own);
        if seen + left.len() + children.len() > MAX_OBJECTS || size > MAX_BYTES {
            return Err("its property list has too many objects".into());
        }
        left.extend(children.into_iter().map(|child| (child, depth + 1)));
    }
    Ok(())
}

impl Binary<'_> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?).filter(|b| b.len() <= 8)?;
        Some(bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
    }

    /// Bytes of an object that are copied, and the objects in it.
    fn object(&self, index: u64) -> Option<(usize, Vec<u64>)> {
        if index >= self.objects {
            return None;
        }
        let entry = to_usize(index).checked_mul(self.offset_size)?.checked_add(self.table)?;
        let at = to_usize(self.number(entry, self.offset_size)?);
        let marker = *self.bytes.get(at)?;
        let (mut count, mut body) = (usize::from(marker & 0xF), at + 1);
        if count == 0xF && matches!(marker >> 4, 0x4..=0x6 | 0xA..=0xD) {
            let width = 1usize << (*self.bytes.get(body)? & 0xF).min(3);
            count = to_usize(self.number(body + 1, width)?);
            body += 1 + width;
        }
        let references = match marker >> 4 {
            0x6 => return Some((count.saturating_mul(2), Vec::new())),
            0x4 | 0x5 => return Some((count, Vec::new())),
            0xA..=0xC => count,
            0xD => count.checked_mul(2)?,
            _ => return Some((16, Vec::new())),
        };
        // As many as the file can hold.
        if references.checked_mul(self.reference_size.max(1))? > self.bytes.len() {
            return None;
        }
        let child = |n: usize| self.number(body + n * self.reference_size, self.reference_size);
        (0..references).map(child).collect::<Option<Vec<u64>>>().map(|c| (0, c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary list of `levels` arrays that each name the next one `times` times.
    fn tower(levels: u16, times: u8) -> Vec<u8> {
        let mut bytes = b"bplist00".to_vec();
        let mut offsets = Vec::new();
        for level in 0..levels {
            offsets.push(bytes.len() as u32);
            bytes.push(0xA0 | times);
            for _ in 0..times {
                bytes.extend((level + 1).to_be_bytes());
            }
        }
        offsets.push(bytes.len() as u32);
        bytes.push(0x09);
        let table = bytes.len() as u64;
        offsets.iter().for_each(|o| bytes.extend(o.to_be_bytes()));
        bytes.extend([0, 0, 0, 0, 0, 0, 4, 2]);
        bytes.extend((u64::from(levels) + 1).to_be_bytes());
        bytes.extend(0u64.to_be_bytes());
        bytes.extend(table.to_be_bytes());
        bytes
    }

    #[test]
    fn shared_and_deep_objects_are_counted_before_they_are_built() {
        assert!(parse_plist(&tower(5, 2)).is_ok());
        assert!(parse_plist(&tower(60, 2)).unwrap_err().contains("too many"));
        assert!(parse_plist(&tower(22, 2)).unwrap_err().contains("too many"));
        assert!(parse_plist(&tower(65_000, 1)).unwrap_err().contains("nested"));
        // Cut anywhere, it is an error and nothing else.
        let whole = tower(5, 2);
        for end in 0..whole.len() {
            assert!(parse_plist(&whole[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn depth_of_xml_cannot_be_hidden() {
        for deep in [
            "<array>".repeat(100_000),
            "<array><!-- /> -->".repeat(100_000),
            "<array a='/>'>".repeat(100_000),
            "<array><?x </a> ?>".repeat(100_000),
        ] {
            let text = format!("<plist>{deep}");
            assert!(parse_plist(text.as_bytes()).unwrap_err().contains("nested"));
        }
        let flat = |n| format!("<plist><array>{}</array></plist>", "<true/>".repeat(n));
        assert!(parse_plist(flat(1000).as_bytes()).is_ok());
        assert!(parse_plist(flat(200_000).as_bytes()).unwrap_err().contains("too many"));
    }

    #[test]
    fn lists_of_openstep_are_none() {
        for deep in ["(".repeat(500_000), "{a=".repeat(500_000), "\n // <\n((1))".into()] {
            assert!(parse_plist(deep.as_bytes()).unwrap_err().contains("not a valid"));
        }
        assert!(parse_plist(b"\n <plist><true/></plist>").is_ok());
    }

    #[test]
    fn utf_16_is_text_too() {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-16\"?>\n<plist version=\"1.0\"><dict>\
                    <key>n\u{e4}me</key><string>v</string></dict></plist>\n";
        let units: Vec<u16> = text.encode_utf16().collect();
        let big: Vec<u8> = units.iter().flat_map(|u| u.to_be_bytes()).collect();
        let little: Vec<u8> = units.iter().flat_map(|u| u.to_le_bytes()).collect();
        let marked = [vec![0xFE, 0xFF], big.clone()].concat();
        let bom = [b"\xEF\xBB\xBF".to_vec(), text.replace("UTF-16", "UTF-8").into_bytes()].concat();
        for bytes in [big, little, marked, bom] {
            let value = parse_plist(&bytes).unwrap();
            assert!(value.as_dictionary().unwrap().contains_key("n\u{e4}me"));
        }
    }
}
