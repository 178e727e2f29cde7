//! LZVN: the byte-oriented Lempel-Ziv code of decmpfs types 7 and 8.
//!
//! An opcode gives a count of literals (L), a match length (M) and a distance
//! (D); D may be left out and is then the previous one. Bytes after the
//! end-of-stream opcode are legal (macOS 26 writes them).

/// Decode `src` into exactly `out`.
///
/// # Errors
/// A sentence when the code ends early, refers to bytes before the start, uses
/// an undefined opcode, or holds more or fewer bytes than `out`.
pub fn decode(src: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut state = State { src, at: 0, out, done: 0, distance: 0 };
    loop {
        let at = state.at;
        match state.step() {
            Some(Step::More) => {}
            Some(Step::End) => break,
            None => return Err(format!("invalid at byte {at}, after {} bytes", state.done)),
        }
    }
    if state.done != state.out.len() {
        return Err(format!("decodes to {} bytes, expected {}", state.done, state.out.len()));
    }
    Ok(())
}

enum Step {
    More,
    End,
}

struct State<'a> {
    src: &'a [u8],
    at: usize,
    out: &'a mut [u8],
    done: usize,
    distance: usize,
}

impl State<'_> {
    fn byte(&self, ahead: usize) -> Option<usize> {
        self.src.get(self.at + ahead).map(|b| usize::from(*b))
    }

    fn step(&mut self) -> Option<Step> {
        // Some encoders leave the end marker out when the output is complete.
        if self.at == self.src.len() && self.done == self.out.len() {
            return Some(Step::End);
        }
        let op = self.byte(0)?;
        match op {
            0x06 => return Some(Step::End),
            0x0E | 0x16 => self.at += 1,
            0x1E | 0x26 | 0x2E | 0x36 | 0x3E | 0x70..=0x7F | 0xD0..=0xDF => return None,
            0xE0 => {
                let count = self.byte(1)? + 16;
                self.emit(2, count, 0, self.distance)?;
            }
            0xE1..=0xEF => self.emit(1, op & 15, 0, self.distance)?,
            0xF0 => {
                let count = self.byte(1)? + 16;
                self.emit(2, 0, count, self.distance)?;
            }
            0xF1..=0xFF => self.emit(1, 0, op & 15, self.distance)?,
            0xA0..=0xBF => {
                let (b1, b2) = (self.byte(1)?, self.byte(2)?);
                let length = ((op & 7) << 2 | (b1 & 3)) + 3;
                self.emit(3, (op >> 3) & 3, length, b1 >> 2 | b2 << 6)?;
            }
            _ => {
                let (literals, length) = (op >> 6, ((op >> 3) & 7) + 3);
                match op & 7 {
                    6 => self.emit(1, literals, length, self.distance)?,
                    7 => {
                        let distance = self.byte(1)? | self.byte(2)? << 8;
                        self.emit(3, literals, length, distance)?;
                    }
                    high => {
                        let distance = high << 8 | self.byte(1)?;
                        self.emit(2, literals, length, distance)?;
                    }
                }
            }
        }
        Some(Step::More)
    }

    fn emit(
        &mut self,
        op_len: usize,
        literals: usize,
        length: usize,
        distance: usize,
    ) -> Option<()> {
        self.at += op_len;
        let from = self.src.get(self.at..self.at + literals)?;
        self.out.get_mut(self.done..self.done + literals)?.copy_from_slice(from);
        self.at += literals;
        self.done += literals;
        self.distance = distance;
        if length == 0 {
            return Some(());
        }
        if distance == 0 || distance > self.done || length > self.out.len() - self.done {
            return None;
        }
        let start = self.done - distance;
        if distance >= length {
            self.out.copy_within(start..start + length, self.done);
        } else {
            // The match overlaps what it produces: it repeats.
            for i in 0..length {
                let byte = *self.out.get(start + i)?;
                *self.out.get_mut(self.done + i)? = byte;
            }
        }
        self.done += length;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn literals_matches_and_the_end() {
        let mut out = [0; 9];
        // sml_l 3 literals, then small distance: 0 literals, M=6, D=3; end.
        let code = [0xE3, b'a', b'b', b'c', 0x18, 3, 6, 0, 0, 0, 0, 0, 0, 0];
        decode(&code, &mut out).unwrap();
        assert_eq!(&out, b"abcabcabc");
    }

    #[test]
    fn bad_code_is_refused() {
        let mut out = [0; 4];
        for code in [
            &[0x70u8][..],
            &[0xE4, 1, 2],
            &[0x08, 1, 6],
            &[0xE1, 1, 6],
            &[0xE8, 1, 2, 3, 4, 5, 6, 7, 8],
        ] {
            assert!(decode(code, &mut out).is_err(), "{code:x?}");
        }
    }
}
