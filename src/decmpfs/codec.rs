//! One block: which algorithm, whether it is merely stored, and the decoder.

use super::{Algorithm, XATTR, copy_exact, lzbitmap, lzvn};
use crate::error::{Error, Result};
use std::cell::RefCell;
use std::io::Read;

thread_local! {
    // The decoder's tables take half a megabyte: one a thread, not one a block.
    static LZFSE: RefCell<lzfse_rust::LzfseRingDecoder> = RefCell::default();
}

/// Decode one block into exactly `out`. A block may be stored as it is behind a
/// marker byte that the algorithm cannot begin with (zlib: low nibble 15; LZVN:
/// its end-of-stream opcode; LZFSE and LZBITMAP: 0xFF; type 9 and 10: 0xCC).
pub fn decode_block(algorithm: Algorithm, block: &[u8], out: &mut [u8]) -> Result<()> {
    if out.is_empty() {
        return Ok(());
    }
    let Some((&first, rest)) = block.split_first() else {
        return Err(Error::corrupt(XATTR, "empty compressed block"));
    };
    match algorithm {
        Algorithm::Stored if first == 0xCC => copy_exact(rest, out),
        Algorithm::Stored => copy_exact(block, out),
        Algorithm::Zlib if first & 0x0F == 0x0F => copy_exact(rest, out),
        Algorithm::Zlib => zlib(block, out),
        Algorithm::Lzvn if first == 0x06 => copy_exact(rest, out),
        Algorithm::Lzvn => lzvn::decode(block, out).map_err(|e| Error::corrupt("LZVN block", e)),
        Algorithm::Lzfse if first == 0xFF => copy_exact(rest, out),
        Algorithm::Lzfse => lzfse(block, out),
        Algorithm::Lzbitmap if first == 0xFF => copy_exact(rest, out),
        Algorithm::Lzbitmap => {
            lzbitmap::decode(block, out).map_err(|e| Error::corrupt("LZBITMAP block", e))
        }
    }
}

fn zlib(block: &[u8], out: &mut [u8]) -> Result<()> {
    let mut inflate = flate2::Decompress::new(true);
    let status = inflate
        .decompress(block, out, flate2::FlushDecompress::Finish)
        .map_err(|e| Error::corrupt("zlib block", e.to_string()))?;
    let got = inflate.total_out();
    let want = crate::io::bytes::to_u64(out.len());
    if got != want {
        let text = format!("decodes to {got} bytes, expected {want} ({status:?})");
        return Err(Error::corrupt("zlib block", text));
    }
    Ok(())
}

fn lzfse(block: &[u8], out: &mut [u8]) -> Result<()> {
    LZFSE.with_borrow_mut(|decoder| {
        // Reading exactly what is wanted bounds what a hostile block can expand to.
        decoder
            .reader_bytes(block)
            .read_exact(out)
            .map_err(|e| Error::corrupt("LZFSE block", e.to_string()))
    })
}
