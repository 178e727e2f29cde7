//! A small LZBITMAP encoder: for each eight bytes the distance that explains most of them.

use std::collections::HashMap;

const CHUNK: usize = 0x8000;
const GROUP: usize = 8;
/// Bytes that must be alike before a place counts as a candidate.
const SEED: usize = 3;

/// Eight bytes of a chunk: which are literals, and the bytes of a new distance before them.
type Step = (u8, u8);

/// Compresses `src`; the result ends with the empty chunk.
pub fn encode(src: &[u8]) -> Vec<u8> {
    let mut out = b"ZBM\x09".to_vec();
    let mut places: HashMap<[u8; SEED], usize> = HashMap::new();
    for start in (0..src.len()).step_by(CHUNK) {
        let end = src.len().min(start + CHUNK);
        let packed = chunk(src, start, end, &mut places);
        if packed.len() < end - start + 6 {
            out.extend(packed);
        } else {
            head(&mut out, end - start + 6, end - start);
            out.extend_from_slice(&src[start..end]);
        }
    }
    head(&mut out, 6, 0);
    out
}

fn head(out: &mut Vec<u8>, len: usize, decoded: usize) {
    put24(out, len);
    put24(out, decoded);
}

fn put24(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&(n as u32).to_le_bytes()[..3]);
}

fn chunk(src: &[u8], start: usize, end: usize, places: &mut HashMap<[u8; 3], usize>) -> Vec<u8> {
    let (mut literals, mut distances, mut steps) = (Vec::new(), Vec::new(), Vec::<Step>::new());
    let mut distance = GROUP;
    for at in (start..end).step_by(GROUP) {
        let group = &src[at..end.min(at + GROUP)];
        let best = best(src, at, group, distance, places);
        let width = match best {
            d if d == distance => 0,
            d if d < 256 => 1,
            _ => 2,
        };
        distance = best;
        distances.extend_from_slice(&(distance as u16).to_le_bytes()[..width.into()]);
        let mut bitmap = 0;
        for (i, byte) in group.iter().enumerate() {
            if !copied(src, at + i, distance) {
                bitmap |= 1 << i;
                literals.push(*byte);
            }
        }
        steps.push((bitmap, width));
        for i in at..at + group.len() {
            if let Some(seed) = src.get(i..i + SEED) {
                places.insert(seed.try_into().unwrap(), i);
            }
        }
    }
    put_chunk(end - start, &literals, &distances, &steps)
}

fn copied(src: &[u8], at: usize, distance: usize) -> bool {
    at >= distance && src[at] == src[at - distance]
}

/// The distance with most bytes alike; the present one if another is no better.
fn best(
    src: &[u8],
    at: usize,
    group: &[u8],
    now: usize,
    places: &HashMap<[u8; 3], usize>,
) -> usize {
    let alike =
        |distance: usize| (at..at + group.len()).filter(|i| copied(src, *i, distance)).count();
    let mut best = (alike(now), now);
    for i in at..at + group.len() {
        let seed = src.get(i..i + SEED).and_then(|s| places.get(s));
        let Some(distance) = seed.map(|from| i - from) else { continue };
        // What the distance costs must pay.
        if distance <= 0xFFFF && alike(distance) > best.0 + 2 {
            best = (alike(distance), distance);
        }
    }
    best.1
}

fn put_chunk(decoded: usize, literals: &[u8], distances: &[u8], steps: &[Step]) -> Vec<u8> {
    let mut counts: HashMap<Step, usize> = HashMap::new();
    steps.iter().for_each(|step| *counts.entry(*step).or_default() += 1);
    let mut common: Vec<(Step, usize)> = counts.into_iter().collect();
    common.sort_by_key(|(step, n)| (usize::MAX - n, *step));
    common.truncate(12);
    let (mut bitmaps, mut tokens) = (Vec::new(), Vec::new());
    for run in steps.chunk_by(|a, b| a == b) {
        let known = common.iter().position(|(step, _)| *step == run[0]);
        let token = known.map_or(run[0].1, |n| n as u8 + 3);
        if known.is_none() {
            bitmaps.extend(run.iter().map(|step| step.0));
        }
        if run.len() < 4 {
            tokens.extend(run.iter().map(|_| token));
            continue;
        }
        tokens.extend([token, 15]);
        let mut left = run.len() - 4;
        while left >= 15 {
            tokens.push(15);
            left -= 15;
        }
        tokens.push(left as u8);
    }
    let shared = common.iter().enumerate().fold(0u128, |bits, (n, ((bitmap, width), _))| {
        bits | (u128::from(*bitmap) | u128::from(*width) << 8) << (10 * n)
    });
    // Readers look at the half byte behind the last token.
    tokens.push(0);
    let tokens: Vec<u8> =
        tokens.chunks(2).map(|two| two[0] | two.get(1).copied().unwrap_or(0) << 4).collect();
    let at = 15 + literals.len();
    let mut out = Vec::new();
    head(&mut out, at + distances.len() + bitmaps.len() + tokens.len() + 17, decoded);
    put24(&mut out, at);
    put24(&mut out, at + distances.len());
    put24(&mut out, at + distances.len() + bitmaps.len());
    for part in [literals, distances, &bitmaps, &tokens, &shared.to_le_bytes(), &[0]] {
        out.extend_from_slice(part);
    }
    out
}
