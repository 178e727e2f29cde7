//! Maps of GNU ddrescue: which bytes of a copy were read from the failing disk.
//!
//! Source of facts: the chapter "Mapfile structure" of ddrescue's manual.

use super::Ranges;
use super::bytes::to_u64;
use crate::error::{Error, Result};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

/// Longest map that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Most blocks of a map.
const MAX_BLOCKS: usize = 1 << 20;
/// How far ddrescue may have got, in its own letters.
const STATES: &[&str] = &["?", "*", "/", "-", "F", "G", "+"];

/// What ddrescue read of a disk. All else is unreadable: what it failed at, what it has not
/// tried, what the map does not tell of, and what lies behind its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadMap {
    name: String,
    good: Ranges,
    end: u64,
}

impl BadMap {
    /// Read the map at `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read; [`Error::Invalid`] as for [`BadMap::parse`].
    pub fn open(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |e| Error::io(format!("cannot read the map {name}"), e);
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&name, &bytes)
    }

    /// Parse a map; `name` is said in messages.
    ///
    /// # Errors
    /// [`Error::Invalid`], with the line, for what ddrescue does not write.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        if to_u64(bytes.len()) > MAX_BYTES {
            let text = format!("{name} is no map of ddrescue: longer than {MAX_BYTES} bytes");
            return Err(Error::Invalid(text));
        }
        let (mut good, mut blocks, mut end, mut begun) = (Vec::new(), 0, 0, false);
        for (n, line) in bytes.split(|b| *b == b'\n').enumerate() {
            let text = String::from_utf8_lossy(line);
            let text = text.split('#').next().unwrap_or_default();
            let fields: Vec<&str> = text.split_whitespace().take(4).collect();
            if fields.is_empty() {
                continue;
            }
            let wrong = |why: &str| {
                let line = n + 1;
                Error::Invalid(format!("{name}, line {line}: {why}: no map of ddrescue"))
            };
            if !std::mem::replace(&mut begun, true) {
                check_status(&fields).map_err(wrong)?;
                continue;
            }
            blocks += 1;
            if blocks > MAX_BLOCKS {
                return Err(wrong("more blocks than can be"));
            }
            let (block, is_good) = block(&fields).map_err(wrong)?;
            if block.start < end {
                return Err(wrong("it begins before the block above it ends"));
            }
            end = block.end;
            if is_good {
                good.push(block);
            }
        }
        if blocks == 0 {
            return Err(Error::Invalid(format!("{name} is no map of ddrescue: it has no blocks")));
        }
        Ok(Self { name: name.to_owned(), good: Ranges::new(good), end })
    }

    /// What it is called in messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Past the last byte that it tells of.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Past the last byte that was read.
    pub fn good_end(&self) -> u64 {
        self.good.iter().last().map_or(0, |r| r.end)
    }

    /// The first run of bytes in `range` that were not read.
    pub fn first_bad(&self, range: Range<u64>) -> Option<Range<u64>> {
        let mut at = range.start;
        for good in self.good.meet(range.clone()) {
            if at < good.start {
                return Some(at..good.start);
            }
            at = good.end;
        }
        (at < range.end).then_some(at..range.end)
    }

    /// The parts of `range` in order, and whether each was read.
    pub fn parts(&self, range: Range<u64>) -> Vec<(Range<u64>, bool)> {
        let (mut at, mut parts) = (range.start, Vec::new());
        for good in self.good.meet(range.clone()) {
            if at < good.start {
                parts.push((at..good.start, false));
            }
            at = good.end;
            parts.push((good, true));
        }
        if at < range.end {
            parts.push((at..range.end, false));
        }
        parts
    }
}

/// The line before the blocks: where ddrescue is, what it does, and its pass.
fn check_status(fields: &[&str]) -> std::result::Result<(), &'static str> {
    let (at, state, pass) = match *fields {
        [at, state] => (at, state, "1"),
        [at, state, pass] => (at, state, pass),
        _ => return Err("expected the line of status: position, status and pass"),
    };
    if number(at).is_none() || number(pass).is_none() || !STATES.contains(&state) {
        return Err("expected the line of status: position, status and pass");
    }
    Ok(())
}

/// A block, and whether it was read.
fn block(fields: &[&str]) -> std::result::Result<(Range<u64>, bool), &'static str> {
    let [pos, size, state] = *fields else {
        return Err("expected position, size and status of a block");
    };
    let (Some(start), Some(size)) = (number(pos), number(size)) else {
        return Err("position or size is no number");
    };
    let end = start.checked_add(size).ok_or("the block ends behind all that can be counted")?;
    match state {
        "+" => Ok((start..end, true)),
        "?" | "*" | "/" | "-" => Ok((start..end, false)),
        _ => Err("the status of a block is one of ? * / - +"),
    }
}

/// A number as C writes them: hexadecimal after `0x`, octal after `0`, else decimal.
fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = match (hex, text.strip_prefix('0')) {
        (Some(hex), _) => (hex, 16),
        (None, Some(octal)) if !octal.is_empty() => (octal, 8),
        _ => (text, 10),
    };
    // `from_str_radix` takes a sign.
    let plain = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u64::from_str_radix(digits, radix).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As ddrescue 1.27 writes it, with a gap that it would not leave.
    const MAP: &str = "# Mapfile. Created by GNU ddrescue version 1.27\n\
        # Command line: ddrescue disk img map\n\
        # current_pos  current_status  current_pass\n\
        0x00120000     ?               1\n\
        #      pos        size  status\n\
        0x00000000  0x00001000  +\n\
        4096 512 -\r\n\
        011000 01000 /  # octal: 4608, 512\n\
        0x1400 0x400 +\n\
        0x2000 0x1000 +\n\
        0x3000 0x1000 ?\n";

    #[test]
    fn only_what_was_read_is_good() {
        let map = BadMap::parse("map", MAP.as_bytes()).unwrap();
        assert_eq!((map.end(), map.good_end()), (0x4000, 0x3000));
        let parts = map.parts(0x800..0x5000);
        let expected = [
            (0x800..0x1000, true),
            (0x1000..0x1400, false),
            (0x1400..0x1800, true),
            (0x1800..0x2000, false),
            (0x2000..0x3000, true),
            (0x3000..0x5000, false),
        ];
        assert_eq!(parts, expected);
        assert_eq!(map.first_bad(0..0x1000), None);
        assert_eq!(map.first_bad(0xFFF..0x1001), Some(0x1000..0x1001));
        assert_eq!(map.first_bad(0x9000..0x9001), Some(0x9000..0x9001), "behind its end");
    }

    #[test]
    fn what_ddrescue_does_not_write_is_an_error_with_its_line() {
        let line = |text: &str| match BadMap::parse("m", text.as_bytes()) {
            Err(Error::Invalid(text)) => text,
            other => panic!("{other:?}"),
        };
        for (text, said) in [
            ("", "no blocks"),
            ("0 + 1\n", "no blocks"),
            ("# a\nhello\n", "line 2: expected the line of status"),
            ("0 0x1000 +\n", "line 1: expected the line of status"),
            ("0 ?\n0 512 +\n0 512 +\n", "line 3: it begins before"),
            ("0 ? 1\n0 512\n", "line 2: expected position"),
            ("0 ? 1\n0 512 + 7\n", "line 2: expected position"),
            ("0 ? 1\n0 512 x\n", "line 2: the status"),
            ("0 ? 1\n0 +512 +\n", "line 2: position or size"),
            ("0 ? 1\n0 0x +\n", "line 2: position or size"),
            ("0 ? 1\n09 1 +\n", "line 2: position or size"),
            ("0 ? 1\n0xFFFFFFFFFFFFFFFF 2 -\n", "line 2: the block ends"),
        ] {
            assert!(line(text).contains(said), "{text:?}: {}", line(text));
        }
    }
}
