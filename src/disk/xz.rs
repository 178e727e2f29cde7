//! The xz streams of disk images: exactly as many bytes as a chunk has, by its own
//! checksums, within a bound of memory.

use lzma_rust2::XzReader;
use std::io::Read;

/// Most memory that decoding a stream may take, in KiB. A stream names the size of
/// its dictionary; `xz -9` takes 64 MiB, `hdiutil` far less.
const MEMORY_KIB: u32 = 96 << 10;

/// Decode a stream into exactly `out`.
///
/// # Errors
/// What is wrong, one sentence: no xz, more or fewer bytes, a checksum that differs,
/// or a dictionary that is too large.
pub fn decode(stored: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut reader = XzReader::new_mem_limit(stored, false, MEMORY_KIB);
    let broken = |e: std::io::Error| format!("xz data is not valid: {e}");
    reader.read_exact(out).map_err(broken)?;
    // Checksums come after the last byte and are read with the end of the stream.
    match reader.read(&mut [0]).map_err(broken)? {
        0 => Ok(()),
        _ => Err(format!("xz data of more than the expected {} bytes", out.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lzma_rust2::{CheckType, XzOptions, XzWriter};
    use std::io::Write;

    fn packed(plain: &[u8], check: CheckType) -> Vec<u8> {
        let mut options = XzOptions::with_preset(6);
        options.set_check_sum_type(check);
        let mut writer = XzWriter::new(Vec::new(), options).unwrap();
        writer.write_all(plain).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn a_stream_gives_exactly_what_went_in() {
        for check in [CheckType::Crc32, CheckType::Crc64, CheckType::Sha256] {
            for len in [1, 70_000, 300_000] {
                let plain: Vec<u8> = (0..len).map(|n: u32| (n % 251) as u8).collect();
                let packed = packed(&plain, check);
                let mut out = vec![0; plain.len()];
                decode(&packed, &mut out).unwrap();
                assert!(out == plain);
                assert!(decode(&packed, &mut out[1..]).is_err());
                assert!(decode(&packed, &mut [&out[..], &[0]].concat()).is_err());
                assert!(decode(&packed[..packed.len() / 2], &mut out).is_err());
            }
        }
        assert!(decode(&[], &mut [0]).is_err());
        assert!(decode(&[0; 40], &mut [0]).is_err());
    }

    #[test]
    fn a_changed_bit_is_not_given_as_data() {
        let plain: Vec<u8> = (0..5_000u32).map(|n| (n * 7 % 251) as u8).collect();
        let packed = packed(&plain, CheckType::Crc64);
        // The last twelve bytes are the footer, which says nothing of the contents.
        for at in 0..packed.len() - 12 {
            let mut broken = packed.clone();
            broken[at] ^= 0x10;
            let mut out = vec![0; plain.len()];
            assert!(decode(&broken, &mut out).is_err() || out == plain, "byte {at}");
        }
    }

    #[test]
    fn a_stream_that_wants_a_gigabyte_of_memory_is_refused() {
        // Header of a stream with CRC32, then a block's with LZMA2 and a 1.5 GiB dictionary.
        let mut stream = b"\xFD7zXZ\0\x00\x01\x69\x22\xDE\x36".to_vec();
        let header = [2u8, 0, 0x21, 1, 37, 0, 0, 0];
        stream.extend(header);
        stream.extend(crc32fast::hash(&header).to_le_bytes());
        stream.extend([1, 0, 0, b'x', 0, 0, 0, 0]);
        assert!(decode(&stream, &mut [0]).unwrap_err().contains("memory"));
    }
}
