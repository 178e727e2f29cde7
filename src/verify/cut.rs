//! Of a disk that ends too early, what follows from that is no damage of its own.

use crate::report::{Code, Finding, Severity};

/// Grade what is missing past the end of the disk (`size` bytes) as what it is: told already.
pub(super) fn follow(findings: &mut [Finding], size: u64) {
    if !findings.iter().any(|f| f.code == Code::DiskCut) {
        return;
    }
    for f in findings.iter_mut().filter(|f| follows(f, size)) {
        f.severity = Severity::Info;
        f.message.push_str("; that follows from the end that is missing");
    }
}

fn follows(f: &Finding, size: u64) -> bool {
    match f.code {
        Code::GptBackup => true,
        Code::HeaderAlternate => f.place.offset.is_some_and(|at| at >= size),
        // Where it begins is told; that it ends too late is the cut.
        Code::PartitionEntry => f.message.contains(crate::partition::PAST_END),
        _ => false,
    }
}
