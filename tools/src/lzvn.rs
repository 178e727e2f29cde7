//! A small LZVN encoder: a hash table of four-byte groups, greedy matches.

const MIN_MATCH: usize = 4;
const MAX_DISTANCE: usize = 0xFFFF;
const HASH_BITS: u32 = 14;

/// Compresses `src`; the result ends with the end-of-stream opcode (06 and seven 00).
pub fn encode(src: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut table = vec![usize::MAX; 1 << HASH_BITS];
    let (mut at, mut pending, mut last_distance) = (0, 0, 0);
    while at + MIN_MATCH <= src.len() {
        let slot = hash(&src[at..]);
        let from = std::mem::replace(&mut table[slot], at);
        let length = if from != usize::MAX && at - from <= MAX_DISTANCE {
            common(&src[from..], &src[at..])
        } else {
            0
        };
        if length < MIN_MATCH {
            at += 1;
            continue;
        }
        let distance = at - from;
        put_match(&mut out, &src[pending..at], length, distance, distance == last_distance);
        last_distance = distance;
        at += length;
        pending = at;
    }
    put_literals(&mut out, &src[pending..], 0);
    out.extend_from_slice(&[6, 0, 0, 0, 0, 0, 0, 0]);
    out
}

fn hash(bytes: &[u8]) -> usize {
    let word = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    (word.wrapping_mul(0x9E37_79B1) >> (32 - HASH_BITS)) as usize
}

fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

/// Writes literals until at most `keep` are left and returns those.
fn put_literals<'a>(out: &mut Vec<u8>, mut literals: &'a [u8], keep: usize) -> &'a [u8] {
    while literals.len() > keep {
        let n = literals.len().min(271);
        if n >= 16 {
            out.extend_from_slice(&[0xE0, (n - 16) as u8]);
        } else {
            out.push(0xE0 | n as u8);
        }
        out.extend_from_slice(&literals[..n]);
        literals = &literals[n..];
    }
    literals
}

fn put_match(out: &mut Vec<u8>, literals: &[u8], length: usize, distance: usize, same: bool) {
    let literals = put_literals(out, literals, 3);
    let l = literals.len() as u8;
    let mut first = length.min(10 - 2 * literals.len());
    let short = |l: u8, m: usize, low: u8| (l << 6) | (((m - 3) as u8) << 3) | low;
    if same && l == 0 {
        first = 0;
    } else if same {
        out.push(short(l, first, 6));
    } else if distance < 1536 {
        out.extend_from_slice(&[short(l, first, (distance >> 8) as u8), distance as u8]);
    } else if distance < 1 << 14 {
        first = length.min(34);
        let (m, d) = ((first - 3) as u16, distance as u16);
        out.push(0xA0 | (l << 3) | (m >> 2) as u8);
        out.extend_from_slice(&((d << 2) | (m & 3)).to_le_bytes());
    } else {
        out.push(short(l, first, 7));
        out.extend_from_slice(&(distance as u16).to_le_bytes());
    }
    out.extend_from_slice(literals);
    put_more_match(out, length - first);
}

/// Continues the match at the same distance.
fn put_more_match(out: &mut Vec<u8>, mut length: usize) {
    while length > 0 {
        let n = length.min(271);
        if n >= 16 {
            out.extend_from_slice(&[0xF0, (n - 16) as u8]);
        } else {
            out.push(0xF0 | n as u8);
        }
        length -= n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hfs::Content;

    /// Decodes through an LZFSE container with one LZVN block.
    fn decode(stream: &[u8], len: usize) -> Vec<u8> {
        let mut wrapped = b"bvxn".to_vec();
        wrapped.extend_from_slice(&(len as u32).to_le_bytes());
        wrapped.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        wrapped.extend_from_slice(stream);
        wrapped.extend_from_slice(b"bvx$");
        let mut out = Vec::new();
        lzfse_rust::decode_bytes(&wrapped, &mut out).expect("a valid LZVN stream");
        out
    }

    #[test]
    fn round_trips() {
        let mut samples = vec![vec![b'x'; 5], vec![0; 65_536], b"abcabcabcabcabcabcdabc".to_vec()];
        for len in [1usize, 15, 16, 17, 271, 272, 1000, 5000, 65_536] {
            samples.push(Content::text(len as u64, len).to_vec());
            samples.push(Content::Pattern { seed: 9, len: len as u64 }.to_vec());
        }
        let mut mixed = Content::text(3, 20_000).to_vec();
        mixed.extend(Content::Pattern { seed: 4, len: 17_000 }.to_vec());
        mixed.extend_from_within(1_000..9_000);
        samples.push(mixed);
        for sample in samples {
            assert_eq!(decode(&encode(&sample), sample.len()), sample);
        }
    }

    #[test]
    fn ends_with_the_end_of_stream_opcode() {
        assert!(encode(b"hello").ends_with(&[6, 0, 0, 0, 0, 0, 0, 0]));
    }
}
