//! The HFS wrapper that Mac OS 8 and 9 put around HFS+ volumes.

use crate::bytes::put;
use crate::image::Image;

/// Puts a volume into an HFS wrapper. `block_size` is the wrapper's allocation block size, a
/// multiple of 512. The wrapped image and the volume's byte offset in it.
pub fn wrap_in_hfs(volume: &Image, block_size: u32) -> (Image, u64) {
    let size = u64::from(block_size);
    let first_sector = 16u64;
    let lead = 4u64;
    let count = volume.len().div_ceil(size);
    let blocks = u16::try_from(lead + count).expect("at most 65,535 wrapper blocks");
    let start = first_sector * 512 + lead * size;
    let mut out = Image::new(first_sector * 512 + (lead + count) * size + 1024);
    out.paste(start, volume);

    let mut mdb = vec![0; 512];
    put(&mut mdb, 0, b"BD");
    put(&mut mdb, 10, &0x0100u16.to_be_bytes());
    put(&mut mdb, 14, &3u16.to_be_bytes());
    put(&mut mdb, 18, &blocks.to_be_bytes());
    put(&mut mdb, 20, &block_size.to_be_bytes());
    put(&mut mdb, 24, &block_size.to_be_bytes());
    put(&mut mdb, 28, &(first_sector as u16).to_be_bytes());
    put(&mut mdb, 30, &16u32.to_be_bytes());
    put(&mut mdb, 36, b"\x07Wrapper");
    put(&mut mdb, 124, b"H+");
    put(&mut mdb, 126, &(lead as u16).to_be_bytes());
    put(&mut mdb, 128, &(count as u16).to_be_bytes());
    out.write_at(1024, &mdb);
    let end = out.len() - 1024;
    out.write_at(end, &mdb);
    (out, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_volume_is_where_the_wrapper_says() {
        let volume = crate::samples::sample("no-journal").unwrap().build().image;
        let (wrapped, at) = wrap_in_hfs(&volume, 4096);
        assert_eq!(wrapped.slice(at, volume.len()), volume);
        assert_eq!(wrapped.read(at + 1024, 2), b"H+");
        assert_eq!(at, 16 * 512 + 4 * 4096);
    }
}
