//! Compressed disk images (UDIF, `.dmg`): a property list of block tables, each a
//! run of chunks, each chunk stored, zero or compressed by itself.
//!
//! All integers are big-endian. The trailer (`koly`, 512 bytes) ends the file.

use super::{adc, xz};
use crate::error::{Error, Result};
use crate::io::bytes::{be32, be64, to_u64, to_usize, usize32};
use crate::io::{
    Presence, PresenceVisitor, ReadAt, Slice, Source, check_range, read_pieces, read_vec,
};
use plist::Value;
use quick_cache::sync::Cache;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

const SECTOR: u64 = 512;
/// Largest property list that is read, in bytes.
const MAX_PLIST: u64 = 64 << 20;
/// Largest chunk that is decoded, in bytes, so that several are kept; hdiutil makes them of
/// 256 KiB to 1 MiB.
const MAX_CHUNK: u64 = 16 << 20;
/// Most chunks of an image.
const MAX_CHUNKS: usize = 1 << 22;
/// Bytes of decoded chunks that are kept.
const KEPT: u64 = 4 * MAX_CHUNK;

/// How a chunk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Zero,
    Stored,
    Adc,
    Zlib,
    Bzip2,
    Lzfse,
    Xz,
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// First byte on the disk.
    start: u64,
    len: u64,
    codec: Codec,
    /// First byte in the file.
    from: u64,
    stored: u64,
}

/// An open compressed image.
struct Udif {
    file: Source,
    size: u64,
    chunks: Vec<Chunk>,
    cache: Cache<usize, Arc<Vec<u8>>, Weight>,
}

/// Weighs decoded chunks by their length.
#[derive(Clone)]
struct Weight;

impl quick_cache::Weighter<usize, Arc<Vec<u8>>> for Weight {
    fn weight(&self, _: &usize, bytes: &Arc<Vec<u8>>) -> u64 {
        to_u64(bytes.len())
    }
}

fn bad(text: impl Into<String>) -> Error {
    Error::corrupt("disk image", text)
}

/// Open an image by its trailer; the disk inside.
///
/// # Errors
/// [`Error::Corrupt`] for impossible tables, [`Error::Unsupported`] for a codec that
/// is not known.
pub fn open(file: Source) -> Result<Source> {
    let trailer = read_vec(&*file, file.len().saturating_sub(512), 512)?;
    let field = |at| be64(&trailer, at).unwrap_or(0);
    let (xml_at, xml_len, sectors) = (field(0xD8), field(0xE0), field(0x1EC));
    let size = sectors.checked_mul(SECTOR).ok_or_else(|| bad("its size is impossible"))?;
    let segments = be32(&trailer, 0x3C).unwrap_or(0);
    if segments > 1 {
        let text = format!("it is one of {segments} parts of a disk image, which must be joined");
        return Err(Error::Unsupported(text));
    }
    if xml_len == 0 && field(0x30) > 0 {
        let text = "its block tables are in a resource fork (Mac OS X 10.1 or older)";
        return Err(Error::Unsupported(text.into()));
    }
    if xml_len == 0 {
        // A raw image with a trailer: the data fork is the disk.
        let (start, len) = (field(0x18), field(0x20));
        if start.checked_add(len).is_none_or(|end| end > file.len()) {
            return Err(bad(format!("its {len} bytes at {start} end past the file")));
        }
        return Ok(Arc::new(Slice::new(file, start, len)));
    }
    if xml_len > MAX_PLIST {
        return Err(bad(format!("a property list of {xml_len} bytes")));
    }
    let data_start = field(0x18);
    let xml = read_vec(&*file, xml_at, to_usize(xml_len))?;
    let mut chunks = Vec::new();
    for table in block_tables(&xml)? {
        parse_table(&table, data_start, file.len(), &mut chunks)?;
    }
    chunks.sort_unstable_by_key(|c| c.start);
    if chunks.iter().zip(chunks.iter().skip(1)).any(|(a, b)| a.start + a.len > b.start) {
        return Err(bad("its chunks overlap"));
    }
    let end = chunks.last().map_or(0, |c| c.start + c.len);
    let cache = Cache::with_weighter(64, KEPT, Weight);
    Ok(Arc::new(Udif { file, size: size.max(end), chunks, cache }))
}

/// The `blkx` resources of the property list.
fn block_tables(xml: &[u8]) -> Result<Vec<Vec<u8>>> {
    let value = crate::bundle::parse_plist(xml).map_err(bad)?;
    let tables = value
        .as_dictionary()
        .and_then(|d| d.get("resource-fork")?.as_dictionary()?.get("blkx")?.as_array())
        .ok_or_else(|| bad("its property list has no block tables"))?;
    let data = |t: &Value| Some(t.as_dictionary()?.get("Data")?.as_data()?.to_vec());
    Ok(tables.iter().filter_map(data).collect())
}

fn parse_table(table: &[u8], data_start: u64, file_len: u64, out: &mut Vec<Chunk>) -> Result<()> {
    let (Some(first), Some(offset), Some(count)) =
        (be64(table, 8), be64(table, 24), be32(table, 200))
    else {
        return Err(bad("a block table is cut off"));
    };
    if !table.starts_with(b"mish") || out.len().saturating_add(usize32(count)) > MAX_CHUNKS {
        return Err(bad(format!("a block table of {count} chunks")));
    }
    for entry in table.get(204..).unwrap_or_default().chunks_exact(40).take(usize32(count)) {
        let field = |at| be64(entry, at).unwrap_or(u64::MAX);
        let kind = be32(entry, 0).unwrap_or(0);
        let codec = match kind {
            0 | 2 => Codec::Zero,
            1 => Codec::Stored,
            0x8000_0004 => Codec::Adc,
            0x8000_0005 => Codec::Zlib,
            0x8000_0006 => Codec::Bzip2,
            0x8000_0007 => Codec::Lzfse,
            0x8000_0008 => Codec::Xz,
            0x7FFF_FFFE => continue,
            0xFFFF_FFFF => break,
            k => return Err(Error::Unsupported(format!("disk image codec {k:#x} is not known"))),
        };
        let place = || {
            let start = first.checked_add(field(8))?.checked_mul(SECTOR)?;
            let len = field(16).checked_mul(SECTOR)?;
            let from = data_start.checked_add(offset)?.checked_add(field(24))?;
            start.checked_add(len)?;
            Some(Chunk { start, len, codec, from, stored: field(32) })
        };
        let chunk = place().ok_or_else(|| bad("a chunk lies nowhere"))?;
        let fits = chunk.from.checked_add(chunk.stored).is_some_and(|end| end <= file_len);
        let possible = match codec {
            Codec::Zero => true,
            Codec::Stored => fits && chunk.stored >= chunk.len,
            _ => fits && chunk.len.max(chunk.stored) <= MAX_CHUNK,
        };
        if !possible {
            let text =
                format!("a chunk of {} bytes for {} at {}", chunk.stored, chunk.len, chunk.from);
            return Err(bad(text));
        }
        if chunk.len > 0 {
            out.push(chunk);
        }
    }
    Ok(())
}

impl Udif {
    /// The chunk that holds a byte, or how far it is to the next one.
    fn find(&self, offset: u64) -> (Option<usize>, u64) {
        let after = self.chunks.partition_point(|c| c.start <= offset);
        if let Some(i) = after.checked_sub(1)
            && let Some(c) = self.chunks.get(i)
            && offset < c.start + c.len
        {
            return (Some(i), c.start + c.len - offset);
        }
        let next = self.chunks.get(after).map_or(self.size, |c| c.start);
        (None, next - offset)
    }

    /// A chunk's bytes. Who asks for one that is being decoded waits for it.
    fn decoded(&self, i: usize, c: &Chunk) -> Result<Arc<Vec<u8>>> {
        self.cache.get_or_insert_with(&i, || {
            let stored = read_vec(&*self.file, c.from, to_usize(c.stored))?;
            let mut out = vec![0; to_usize(c.len)];
            decode(c.codec, &stored, &mut out)
                .map_err(|text| bad(format!("chunk {i} at {} of the disk: {text}", c.start)))?;
            Ok(Arc::new(out))
        })
    }

    fn read_chunk(&self, i: usize, within: u64, buf: &mut [u8]) -> Result<()> {
        let Some(c) = self.chunks.get(i) else { return Ok(()) };
        match c.codec {
            Codec::Zero => buf.fill(0),
            Codec::Stored => self.file.read_at(buf, c.from + within)?,
            _ => {
                let bytes = self.decoded(i, c)?;
                let at = to_usize(within);
                if let Some(from) = bytes.get(at..at + buf.len()) {
                    buf.copy_from_slice(from);
                }
            }
        }
        Ok(())
    }
}

/// Decode a chunk into exactly `out`.
fn decode(codec: Codec, stored: &[u8], out: &mut [u8]) -> std::result::Result<(), String> {
    match codec {
        Codec::Adc => adc::decode(stored, out).ok_or_else(|| "ADC data is not valid".into()),
        Codec::Zlib => read_exact(flate2::read::ZlibDecoder::new(stored), out),
        Codec::Bzip2 => read_exact(bzip2::read::BzDecoder::new(stored), out),
        Codec::Lzfse => {
            read_exact(lzfse_rust::LzfseRingDecoder::default().reader_bytes(stored), out)
        }
        Codec::Xz => xz::decode(stored, out),
        Codec::Zero | Codec::Stored => Ok(()),
    }
}

fn read_exact(mut from: impl Read, out: &mut [u8]) -> std::result::Result<(), String> {
    from.read_exact(out).map_err(|e| e.to_string())
}

impl ReadAt for Udif {
    fn len(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        check_range(self.size, offset, buf.len(), "disk image")?;
        read_pieces(
            buf,
            offset,
            |at| Ok(self.find(at)),
            |found, at, now| match found {
                Some(i) => {
                    let start = self.chunks.get(i).map_or(0, |c| c.start);
                    self.read_chunk(i, at - start, now)
                }
                None => {
                    now.fill(0);
                    Ok(())
                }
            },
        )
    }

    fn presence(&self, range: Range<u64>, visit: PresenceVisitor<'_>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let (found, left) = self.find(at);
            let end = range.end.min(at.saturating_add(left));
            let presence = match found.and_then(|i| self.chunks.get(i)).map(|c| c.codec) {
                Some(Codec::Zero) => Presence::Hole,
                Some(_) => Presence::Stored,
                None => Presence::Missing,
            };
            visit(at..end, presence);
            at = end;
        }
        Ok(())
    }
}
