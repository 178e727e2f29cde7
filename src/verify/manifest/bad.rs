//! Which bytes of a band cannot be read.

use crate::error::Result;
use crate::io::bytes::{to_u64, to_usize};
use crate::report::Progress;
use std::io::ErrorKind;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Bytes that are tried at once, first and where that fails: as disks have them.
const STEPS: [u64; 2] = [256 << 10, 4 << 10];
/// Each try may take a dying disk seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Ranges that are told one by one.
pub(super) const MOST: usize = 16;

/// Find the parts of `range` that `read` fails on. Where that takes too long, or they are
/// too many, the last one reaches to the end.
pub(super) fn bad_ranges(
    range: Range<u64>,
    read: &dyn Fn(&mut [u8], u64) -> std::io::Result<usize>,
    progress: &dyn Progress,
) -> Result<Vec<Range<u64>>> {
    let until = Instant::now() + PATIENCE;
    let mut bad: Vec<Range<u64>> = Vec::new();
    let mut buf = vec![0; to_usize(STEPS[0])];
    let mut at = range.start;
    while at < range.end {
        progress.check()?;
        let step = STEPS[0].min(range.end - at);
        if is_good(&mut buf, at, step, read) {
            at += step;
            continue;
        }
        let end = at + step;
        while at < end {
            progress.check()?;
            let next = (at - at % STEPS[1] + STEPS[1]).min(end);
            if !is_good(&mut buf, at, next - at, read) {
                match bad.last_mut() {
                    Some(last) if last.end == at => last.end = next,
                    _ => bad.push(at..next),
                }
            }
            at = next;
            if bad.len() > MOST || Instant::now() > until {
                if let Some(last) = bad.last_mut() {
                    last.end = range.end;
                }
                return Ok(bad);
            }
        }
    }
    Ok(bad)
}

fn is_good(
    buf: &mut [u8],
    mut at: u64,
    mut len: u64,
    read: &dyn Fn(&mut [u8], u64) -> std::io::Result<usize>,
) -> bool {
    while len > 0 {
        let wanted = to_usize(len).min(buf.len());
        match read(buf.get_mut(..wanted).unwrap_or_default(), at) {
            // It was shortened meanwhile: that is another matter.
            Ok(0) => return true,
            Ok(n) => {
                at += to_u64(n);
                len -= to_u64(n).min(len);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::NoProgress;

    fn found(range: Range<u64>, broken: &[Range<u64>]) -> Vec<Range<u64>> {
        let read = |buf: &mut [u8], at: u64| {
            let end = at + to_u64(buf.len());
            match broken.iter().any(|b| b.start < end && at < b.end) {
                true => Err(std::io::Error::from_raw_os_error(5)),
                false => Ok(buf.len()),
            }
        };
        bad_ranges(range, &read, &NoProgress).unwrap()
    }

    #[test]
    #[allow(clippy::single_range_in_vec_init)]
    fn no_more_than_the_blocks_that_are_bad() {
        let k = 1024;
        assert_eq!(found(0..8192 * k, &[]), []);
        // One sector is told as the block it lies in.
        let sector = 5000 * k + 512..5000 * k + 1024;
        assert_eq!(found(0..8192 * k, &[sector]), [5000 * k..5004 * k]);
        let two = [0..4 * k, 300 * k..312 * k];
        assert_eq!(found(0..1001 * k, &two), two);
        // From the piece on that failed, and to an end that is no block's.
        assert_eq!(found(256 * k..257 * k + 100, &[257 * k..258 * k]), [256 * k..257 * k + 100]);
        // A band that is all bad, and one with too many places.
        assert_eq!(found(0..512 * k, &[0..512 * k]), [0..512 * k]);
        let many: Vec<_> = (0..100).map(|i| i * 64 * k..i * 64 * k + 512).collect();
        let told = found(0..8192 * k, &many);
        assert_eq!((told.len(), told.last().unwrap().end), (MOST + 1, 8192 * k));
    }
}
