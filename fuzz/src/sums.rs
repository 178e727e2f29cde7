//! Inputs that get past checksums and frames, made of what the fuzzer gives: it cannot
//! guess a checksum, and rarely builds a graph.

/// Four bytes at `at`, or 0.
fn le32(data: &[u8], at: usize) -> u32 {
    data.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
}

fn le64(data: &[u8], at: usize) -> usize {
    let bytes = data.get(at..).and_then(|b| b.first_chunk());
    usize::try_from(bytes.map_or(0, |b| u64::from_le_bytes(*b))).unwrap_or(usize::MAX)
}

fn put(data: &mut [u8], at: usize, sum: u32) {
    if let Some(to) = data.get_mut(at..).and_then(|b| b.first_chunk_mut()) {
        *to = sum.to_le_bytes();
    }
}

/// Apple's journal checksum over `len` bytes with its own place zero.
fn journal_sum(data: &mut [u8], from: usize, len: usize, own: usize) {
    put(data, from.saturating_add(own), 0);
    let Some(bytes) = data.get(from..from.saturating_add(len)) else { return };
    let sum = !bytes.iter().fold(0u32, |c, b| (c << 8) ^ c.wrapping_add(u32::from(*b)));
    put(data, from + own, sum);
}

/// The checksums of a little-endian journal at byte `ring`: header, block lists, blocks.
pub fn journal(data: &[u8], ring: usize) -> Vec<u8> {
    let mut data = data.to_vec();
    journal_sum(&mut data, ring, 44, 36);
    let list_size = le32(&data, ring + 32) as usize;
    let (mut at, end) = (le64(&data, ring + 8), le64(&data, ring + 16));
    for _ in 0..16 {
        let list = ring.saturating_add(at);
        if at >= end || list >= data.len() {
            break;
        }
        let mut block = list.saturating_add(list_size);
        for i in 1..usize::from(le32(&data, list.saturating_add(2)) as u16).min(64) {
            let info = list.saturating_add(16 + 16 * i);
            let len = le32(&data, info.saturating_add(8)) as usize;
            let bytes = data.get(block..block.saturating_add(len)).unwrap_or_default();
            let sum = !bytes.iter().fold(0u32, |c, b| (c << 8) ^ c.wrapping_add(u32::from(*b)));
            put(&mut data, info.saturating_add(12), sum);
            block = block.saturating_add(len);
        }
        journal_sum(&mut data, list, 32, 8);
        at = at.saturating_add((le32(&data, list.saturating_add(4)) as usize).max(512));
    }
    data
}

fn crc32(bytes: &[u8]) -> u32 {
    let byte = |crc: u32, b: &u8| {
        (0..8).fold(crc ^ u32::from(*b), |c, _| (c >> 1) ^ (0xEDB8_8320 & (c & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, byte)
}

/// Both checksums of every GUID partition table header that stands where one may.
pub fn gpt(data: &[u8]) -> Vec<u8> {
    let mut data = data.to_vec();
    for unit in [512, 2048, 4096] {
        for at in [unit, data.len().saturating_sub(unit)] {
            if data.get(at..at + 8) != Some(b"EFI PART") {
                continue;
            }
            let entries = le64(&data, at + 72).saturating_mul(unit);
            let len = (le32(&data, at + 80) as usize).saturating_mul(le32(&data, at + 84) as usize);
            let all = data.get(entries..entries.saturating_add(len)).map(crc32);
            put(&mut data, at + 88, all.unwrap_or(0));
            put(&mut data, at + 16, 0);
            let head = (le32(&data, at + 12) as usize).min(unit);
            let sum = data.get(at..at + head).map_or(0, crc32);
            put(&mut data, at + 16, sum);
        }
    }
    data
}

/// Keys that are looked for in the property lists of a bundle.
const WORDS: [&str; 6] =
    ["band-size", "size", "bundle-backingstore-version", "uuid", "x", "diskimage-bundle-type"];

/// A binary property list whose objects refer to one another as four bytes each say: arrays
/// and dictionaries that share children, hold themselves, nest without end.
pub fn plist_graph(data: &[u8]) -> Vec<u8> {
    let objects = data.chunks_exact(4).take(250);
    let count = u8::try_from(objects.len().max(1)).unwrap_or(250);
    let mut out = b"bplist00".to_vec();
    let mut offsets = Vec::new();
    for (own, object) in (0u8..).zip(objects) {
        let &[kind, a, b, c] = object else { continue };
        // Some way on: what refers onward alone is no loop, however often it is shared.
        let on = |n: u8| own.saturating_add(1 + n % 3).min(count - 1);
        offsets.push(u32::try_from(out.len()).unwrap_or(0));
        match kind % 8 {
            0..=3 => out.extend([0xA0 | (2 + kind / 8 % 2), on(a), on(b), on(c)]),
            4 => out.extend([0xD1, a % count, b % count]),
            5 => out.extend([0x12, 0, a, b, c]),
            6 => out.extend([0x13, a, b, c, 0, 0, 0, 0, 1]),
            _ => {
                let word = WORDS[usize::from(a) % WORDS.len()].as_bytes();
                // A string of more than 14 characters has its length in an object of its own.
                match u8::try_from(word.len()).unwrap_or(0) {
                    n @ 0..15 => out.push(0x50 | n),
                    n => out.extend([0x5F, 0x10, n]),
                }
                out.extend(word);
            }
        }
    }
    let table = out.len() as u64;
    let number = offsets.len() as u64;
    offsets.iter().for_each(|o| out.extend(o.to_be_bytes()));
    out.extend([0, 0, 0, 0, 0, 0, 4, 1]);
    [number, 0, table].iter().for_each(|n| out.extend(n.to_be_bytes()));
    out
}
