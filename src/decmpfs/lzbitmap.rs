//! LZBITMAP: the Lempel-Ziv code of decmpfs types 13 and 14.
//!
//! After the magic come chunks, the last of them empty. A chunk says for each eight bytes of
//! its output, by a bitmap, which are literals and which are copied from a distance back; the
//! distance stays until a new one is read. Four streams hold literals, distances, bitmaps and
//! the tokens (half a byte each) that choose among fifteen ways to get a bitmap. Apple
//! publishes no description; the layout is the one found by black box testing (libzbitmap).

/// What every stream begins with.
const MAGIC: &[u8] = b"ZBM\x09";
/// Length of a chunk, and of what it decodes to: three bytes each.
const HEAD: usize = 6;
/// With the offsets of the streams of distances, bitmaps and tokens.
const FULL_HEAD: usize = 15;
/// The twelve bitmaps of a chunk with the width of the distance behind each, ten bits each,
/// and what fills them up.
const SHARED: usize = 17;
/// Largest output of a chunk.
const MAX_CHUNK: usize = 0x8000;
/// The distance at the beginning of a chunk.
const FIRST_DISTANCE: usize = 8;
/// The token that says how often the one before it is to be used.
const REPEAT: u8 = 15;
/// A repetition of fewer would save nothing.
const LEAST_REPEATED: usize = 4;

/// Decode `src` into exactly `out`.
///
/// # Errors
/// A sentence when the code ends early, refers to bytes before the start, or holds more or
/// fewer bytes than `out`.
pub fn decode(src: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut rest = src.strip_prefix(MAGIC).ok_or("does not begin with ZBM")?;
    let mut done = 0;
    loop {
        let (len, decoded) = (le24(rest, 0), le24(rest, 3));
        let (Some(len), Some(decoded)) = (len, decoded) else {
            return Err(format!("ends without an end mark, after {done} bytes"));
        };
        if decoded == 0 {
            break;
        }
        let wrong = || format!("wrong chunk after {done} bytes");
        let (chunk, behind) = rest.split_at_checked(len).ok_or_else(wrong)?;
        if decoded > MAX_CHUNK || decoded > out.len() - done {
            return Err(format!("decodes to more than {} bytes", out.len()));
        }
        let end = done + decoded;
        if len == decoded + HEAD {
            let (to, from) = (out.get_mut(done..end), chunk.get(HEAD..));
            to.zip(from).map(|(to, from)| to.copy_from_slice(from)).ok_or_else(wrong)?;
        } else {
            let out = out.get_mut(..end).ok_or_else(wrong)?;
            Chunk::new(chunk, out, done).and_then(Chunk::decode).ok_or_else(wrong)?;
        }
        (rest, done) = (behind, end);
    }
    if done != out.len() {
        return Err(format!("decodes to {done} bytes, expected {}", out.len()));
    }
    Ok(())
}

/// One of twelve bitmaps that tokens choose by number, or one read for a token.
#[derive(Clone, Copy, Default)]
struct Bitmap {
    /// A bit for each of eight bytes, lowest first: set for a literal.
    literals: u8,
    /// How many bytes of distance are read before it is used: 0, 1 or 2.
    width: u8,
}

/// A compressed chunk, and how far its streams are read.
struct Chunk<'a> {
    literals: std::slice::Iter<'a, u8>,
    distances: std::slice::Iter<'a, u8>,
    bitmaps: std::slice::Iter<'a, u8>,
    tokens: &'a [u8],
    /// Half bytes of `tokens` that are read.
    token: usize,
    shared: [Bitmap; 12],
    distance: usize,
    out: &'a mut [u8],
    done: usize,
}

impl<'a> Chunk<'a> {
    fn new(chunk: &'a [u8], out: &'a mut [u8], done: usize) -> Option<Self> {
        let (streams, shared) = chunk.split_at_checked(chunk.len().checked_sub(SHARED)?)?;
        let from = |field| le24(chunk, field).and_then(|at| streams.get(at..));
        let mut bits = [0; 16];
        // Of the last byte nothing is used: twelve times ten bits are fifteen bytes.
        bits.copy_from_slice(shared.get(..16)?);
        let bits = u128::from_le_bytes(bits);
        let mut bitmaps = [Bitmap::default(); 12];
        for (n, bitmap) in bitmaps.iter_mut().enumerate() {
            let [literals, width, ..] = (bits >> (10 * n)).to_le_bytes();
            *bitmap = Bitmap { literals, width: width & 3 };
        }
        Some(Self {
            literals: streams.get(FULL_HEAD..)?.iter(),
            distances: from(6)?.iter(),
            bitmaps: from(9)?.iter(),
            tokens: from(12)?,
            token: 0,
            shared: bitmaps,
            distance: FIRST_DISTANCE,
            out,
            done,
        })
    }

    fn decode(mut self) -> Option<()> {
        while self.done < self.out.len() {
            let token = self.token()?;
            for _ in 0..self.repeated()? {
                if self.done == self.out.len() {
                    break;
                }
                let bitmap = self.bitmap(token)?;
                self.apply(bitmap)?;
            }
        }
        Some(())
    }

    /// The next half byte, the lower one first.
    fn token(&mut self) -> Option<u8> {
        let byte = self.tokens.get(self.token / 2)?;
        let token = if self.token.is_multiple_of(2) { byte & 15 } else { byte >> 4 };
        self.token += 1;
        Some(token)
    }

    /// How often the token just read is used.
    fn repeated(&mut self) -> Option<usize> {
        let before = self.token;
        // At the end of the tokens there is nothing that could repeat the last one.
        if self.token() != Some(REPEAT) {
            self.token = before;
            return Some(1);
        }
        let mut count = LEAST_REPEATED;
        loop {
            let more = self.token()?;
            count += usize::from(more);
            if more != REPEAT {
                return Some(count);
            }
        }
    }

    fn bitmap(&mut self, token: u8) -> Option<Bitmap> {
        match token {
            0..=2 => Some(Bitmap { literals: *self.bitmaps.next()?, width: token }),
            _ => self.shared.get(usize::from(token) - 3).copied(),
        }
    }

    /// Eight bytes of output, or as many as are wanted still.
    fn apply(&mut self, bitmap: Bitmap) -> Option<()> {
        match bitmap.width {
            0 => {}
            1 => self.distance = usize::from(*self.distances.next()?),
            2 => {
                let pair = [*self.distances.next()?, *self.distances.next()?];
                self.distance = usize::from(u16::from_le_bytes(pair));
            }
            _ => return None,
        }
        for bit in 0..8 {
            if self.done == self.out.len() {
                break;
            }
            let byte = if bitmap.literals >> bit & 1 == 1 {
                *self.literals.next()?
            } else if self.distance == 0 {
                return None;
            } else {
                *self.out.get(self.done.checked_sub(self.distance)?)?
            };
            *self.out.get_mut(self.done)? = byte;
            self.done += 1;
        }
        Some(())
    }
}

/// The three bytes at `at` as a number, the lowest first.
fn le24(bytes: &[u8], at: usize) -> Option<usize> {
    let three = bytes.get(at..at + 3)?;
    Some(three.iter().rev().fold(0, |n, b| n << 8 | usize::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::decode;

    /// "abc" and 29 times the last of it, written by hand: a bitmap of three literals with a
    /// distance of one byte, then the second shared bitmap (none, no distance) three times.
    fn by_hand() -> Vec<u8> {
        let mut chunk = vec![0, 0, 0, 32, 0, 0, 18, 0, 0, 19, 0, 0, 20, 0, 0];
        chunk.extend(b"abc");
        chunk.extend([1, 0b111, 0x41, 0x44]);
        // Shared bitmaps: the first all literals without a distance, the others copy.
        chunk.push(0xFF);
        chunk.extend([0; 16]);
        chunk[0] = u8::try_from(chunk.len()).unwrap();
        [b"ZBM\x09".as_slice(), &chunk, &[6, 0, 0, 0, 0, 0]].concat()
    }

    #[test]
    fn literals_and_copies() {
        let mut out = [0; 32];
        decode(&by_hand(), &mut out).unwrap();
        assert_eq!(&out[..4], b"abcc");
        assert!(out[4..].iter().all(|b| *b == b'c'));
    }

    #[test]
    fn chunks_without_compression() {
        let code = b"ZBM\x09\x09\x00\x00\x03\x00\x00abc\x08\x00\x00\x02\x00\x00de\x06\0\0\0\0\0";
        let mut out = [0; 5];
        decode(code, &mut out).unwrap();
        assert_eq!(&out, b"abcde");
        assert!(decode(code, &mut [0; 4]).is_err());
        assert!(decode(code, &mut [0; 6]).is_err());
    }

    #[test]
    fn bad_code_is_refused() {
        let good = by_hand();
        for cut in 0..good.len() - 6 {
            assert!(decode(&good[..cut], &mut [0; 32]).is_err(), "cut at {cut}");
        }
        // A distance beyond the beginning, and one of nothing.
        for distance in [200, 0] {
            let mut bad = good.clone();
            bad[4 + 18] = distance;
            assert!(decode(&bad, &mut [0; 32]).is_err(), "distance {distance}");
        }
        // A repetition of nothing.
        let mut bad = good;
        bad[4 + 20] = 0xFF;
        assert!(decode(&bad, &mut [0; 32]).is_err());
    }
}
