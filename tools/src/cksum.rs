//! The CRC of POSIX `cksum`, which Time Machine records for the files it copies.

const fn table() -> [u32; 256] {
    let mut out = [0u32; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = (i as u32) << 24;
        let mut k = 0;
        while k < 8 {
            c = if c & 0x8000_0000 != 0 { (c << 1) ^ 0x04C1_1DB7 } else { c << 1 };
            k += 1;
        }
        out[i] = c;
        i += 1;
    }
    out
}

static TABLE: [u32; 256] = table();

fn step(crc: u32, byte: u8) -> u32 {
    (crc << 8) ^ TABLE[((crc >> 24) as u8 ^ byte) as usize]
}

/// The `cksum` of `data`.
pub fn cksum(data: &[u8]) -> u32 {
    let mut crc = data.iter().fold(0, |c, &b| step(c, b));
    let mut len = data.len() as u64;
    while len != 0 {
        crc = step(crc, len as u8);
        len >>= 8;
    }
    !crc
}

#[cfg(test)]
mod tests {
    #[test]
    fn posix_vector() {
        assert_eq!(super::cksum(b"123456789"), 930_766_865);
        assert_eq!(super::cksum(b""), 4_294_967_295);
    }
}
