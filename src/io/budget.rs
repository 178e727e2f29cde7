//! How much is kept of a broken volume at once, whatever its bytes claim to be.

/// Bytes for what is known of leaves, of files and of folders, and for records that are put
/// together anew: enough for a catalog of 10 GiB with five million folders.
const MOST: usize = 1 << 30;

/// What may still be kept.
#[derive(Debug, Clone)]
pub struct Budget {
    most: usize,
    left: usize,
    cut: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Budget {
    /// Of so many bytes.
    pub fn of(most: usize) -> Self {
        Self { most, left: most, cut: false }
    }

    /// As much as at the beginning, once what was kept is let go.
    pub fn again(&self) -> Self {
        Self::of(self.most)
    }

    /// Whether so many bytes more may be kept; they count.
    pub fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => self.cut = true,
        }
        !self.cut
    }

    /// Whether something was left out.
    pub fn is_spent(&self) -> bool {
        self.cut
    }
}
