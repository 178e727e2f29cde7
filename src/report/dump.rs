//! Structures as text, field by field, with the names that their specifications give them:
//! for tests, and for whoever looks at a broken backup with a hex editor beside it.

use super::present;
use crate::error::Locus;
use std::fmt::Write;

/// Bytes that are shown of a long field.
const SHOWN: usize = 64;

/// How a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A number of 1, 2, 4 or 8 bytes.
    Number,
    /// The same in hexadecimal.
    Hex,
    /// Text up to the first zero byte.
    Text,
    /// UTF-16 in the order of the structure, up to the first zero.
    Utf16,
    /// A UUID as it stands.
    Uuid,
    /// A GUID whose first three parts are little-endian.
    Guid,
    /// Bytes.
    Bytes,
    /// Pairs of a first block and a number of blocks of four bytes each, up to the first
    /// of no blocks.
    Extents,
}

/// A field: name, bytes, and how it is shown.
pub type Field = (&'static str, usize, Show);

/// The order of bytes in a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Order {
    Big,
    Little,
}

/// A text that grows.
#[derive(Debug, Default)]
pub struct Dump {
    text: String,
    order: Option<Order>,
    lost: bool,
}

/// A text that is whole.
#[derive(Debug)]
pub struct Dumped {
    /// The text.
    pub text: String,
    /// Whether zeros in it stand for what is not stored any more.
    pub lost: bool,
}

impl Dump {
    /// Begin a structure: its name, where it lies, how long it is.
    pub fn begin(&mut self, name: &str, order: Order, at: Option<&Locus>, len: usize) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.order = Some(order);
        let place = at.map_or_else(|| "nowhere on the disk".into(), |at| format!("at {at}"));
        self.line(&format!("{} {place}, {len} bytes", present(name)));
    }

    /// Say that part of what is shown is not stored, if there is a reason why.
    pub fn lost(&mut self, why: Option<String>) {
        if let Some(why) = why {
            self.line(&format!("  part of it is lost ({why}): zeros stand for that"));
            self.lost = true;
        }
    }

    /// The order of bytes from here on.
    pub fn order(&mut self, order: Order) {
        self.order = Some(order);
    }

    /// A line of one's own.
    pub fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Show fields that follow one another from byte `at` of `bytes` on; gives the first
    /// byte behind them.
    pub fn fields(&mut self, bytes: &[u8], at: usize, prefix: &str, fields: &[Field]) -> usize {
        let mut at = at;
        for (name, len, show) in fields {
            let end = at.saturating_add(*len);
            let value = match bytes.get(at..end) {
                Some(field) => self.value(field, *show),
                None => "(cut off)".into(),
            };
            self.field(at, &format!("{prefix}{name}"), &value);
            at = end;
        }
        at
    }

    /// A field with a value of one's own.
    pub fn field(&mut self, at: usize, name: &str, value: &str) {
        let line = format!("  {at:#06x}  {name:<33} {value}");
        self.line(line.trim_end());
    }

    fn value(&self, field: &[u8], show: Show) -> String {
        match show {
            Show::Number => match number(field, self.order) {
                Some(n) => n.to_string(),
                None => hex(field),
            },
            Show::Hex => match number(field, self.order) {
                Some(n) => format!("{n:#0width$x}", width = 2 + 2 * field.len()),
                None => hex(field),
            },
            Show::Text => {
                let text = field.split(|b| *b == 0).next().unwrap_or_default();
                quoted(&String::from_utf8_lossy(text))
            }
            Show::Utf16 => {
                let units = field.as_chunks::<2>().0.iter().map(|pair| match self.order {
                    Some(Order::Big) => u16::from_be_bytes(*pair),
                    _ => u16::from_le_bytes(*pair),
                });
                let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
                quoted(&String::from_utf16_lossy(&units))
            }
            Show::Uuid => uuid(field, uuid::Uuid::from_bytes),
            Show::Guid => uuid(field, uuid::Uuid::from_bytes_le),
            Show::Bytes => hex(field),
            Show::Extents => {
                let pairs = field.as_chunks::<8>().0.iter().map_while(|pair| {
                    let (first, count) = pair.split_at(4);
                    let (first, count) = (number(first, self.order)?, number(count, self.order)?);
                    (count > 0).then(|| format!("{first}+{count}"))
                });
                let pairs: Vec<String> = pairs.collect();
                if pairs.is_empty() { "none".into() } else { pairs.join(" ") }
            }
        }
    }

    /// The text.
    pub fn finish(self) -> Dumped {
        Dumped { text: self.text, lost: self.lost }
    }
}

fn number(field: &[u8], order: Option<Order>) -> Option<u64> {
    let (len, mut whole) = (field.len(), [0; 8]);
    if order == Some(Order::Big) {
        whole.get_mut(8usize.checked_sub(len)?..)?.copy_from_slice(field);
        return Some(u64::from_be_bytes(whole));
    }
    whole.get_mut(..len)?.copy_from_slice(field);
    Some(u64::from_le_bytes(whole))
}

/// Text in quotes, nothing in it that means something to a terminal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", present(text))
}

/// Bytes in hexadecimal; of many the first.
pub fn hex(bytes: &[u8]) -> String {
    if bytes.len() > 8 && bytes.iter().all(|b| *b == 0) {
        return format!("{} zero bytes", bytes.len());
    }
    let mut text = String::new();
    for byte in bytes.iter().take(SHOWN) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}

fn uuid(field: &[u8], from: fn([u8; 16]) -> uuid::Uuid) -> String {
    field.try_into().map_or_else(|_| hex(field), |bytes| from(bytes).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_shown_in_the_order_of_their_bytes() {
        let bytes = *b"H+\x00\x04\x00\x00\x00\x05\x00\x00\x00\x03\0\0\0\0\0\0\0\0ab\0c";
        let fields: [Field; 5] = [
            ("signature", 2, Show::Text),
            ("version", 2, Show::Number),
            ("extents", 16, Show::Extents),
            ("name", 4, Show::Text),
            ("more", 4, Show::Hex),
        ];
        let mut dump = Dump::default();
        dump.begin("X", Order::Big, None, bytes.len());
        assert_eq!(dump.fields(&bytes, 0, "", &fields), 28);
        let text = dump.finish().text;
        let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["X", "nowhere", "on", "the", "disk,", "24", "bytes"]);
        assert_eq!(lines[1], ["0x0000", "signature", "'H+'"]);
        assert_eq!(lines[2], ["0x0002", "version", "4"]);
        assert_eq!(lines[3], ["0x0004", "extents", "5+3"]);
        assert_eq!(lines[4], ["0x0014", "name", "'ab'"]);
        assert_eq!(lines[5], ["0x0018", "more", "(cut", "off)"]);
    }
}
