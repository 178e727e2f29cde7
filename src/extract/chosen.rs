//! Which objects are restored.

use crate::error::{Error, Result};
use crate::fs::{Kind, Metadata, Time};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Which objects are restored: patterns and dates.
#[derive(Clone, Default)]
pub struct Chosen {
    include: Option<GlobSet>,
    exclude: Option<GlobSet>,
    newer_than: Option<Time>,
    /// Whether anything fitted `include` so far.
    fitted: Arc<AtomicBool>,
}

/// What a folder's or file's path comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Restore it; of a folder all that is in it, unless it is excluded.
    Yes,
    /// Leave it out; of a folder all that is in it.
    No,
    /// A folder that was not asked for, but may hold what was.
    Within,
}

impl Chosen {
    /// From shell patterns. One without `/` fits names at any depth, one with `/` the
    /// path from where the restore begins; `**` stands for any number of folders.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a pattern that is none.
    pub fn new(include: &[String], exclude: &[String], newer_than: Option<Time>) -> Result<Self> {
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        let exclude = if exclude.is_empty() { None } else { Some(set(exclude)?) };
        Ok(Self { include, exclude, newer_than, fitted: Arc::default() })
    }

    /// Whether everything is restored.
    pub fn is_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_none() && self.newer_than.is_none()
    }

    /// What becomes of an object. `included`: a folder above it was asked for.
    pub fn choose(&self, path: &str, meta: &Metadata, included: bool) -> Choice {
        if self.exclude.as_ref().is_some_and(|set| set.is_match(path)) {
            return Choice::No;
        }
        let included = self.includes_below(path, included);
        if meta.kind == Kind::Directory {
            // With a date folders come along with what is in them.
            let whole = included && self.newer_than.is_none();
            return if whole { Choice::Yes } else { Choice::Within };
        }
        let new = self.newer_than.is_none_or(|date| meta.times.modified.is_some_and(|m| m > date));
        if included && new { Choice::Yes } else { Choice::No }
    }

    /// Whether what is below a folder was asked for by it.
    pub fn includes_below(&self, path: &str, included: bool) -> bool {
        let Some(include) = self.include.as_ref().filter(|_| !included) else { return true };
        let fits = include.is_match(path);
        if fits {
            self.fitted.store(true, Ordering::Relaxed);
        }
        fits
    }

    /// Whether there were patterns for what is wanted, and none fitted anything so far.
    pub fn fitted_nothing(&self) -> bool {
        self.include.is_some() && !self.fitted.load(Ordering::Relaxed)
    }
}

fn set(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    let wrong = |p: &str, e: &dyn std::fmt::Display| Error::Invalid(format!("'{p}': {e}"));
    for pattern in patterns {
        let trimmed = pattern.trim_end_matches('/');
        let anchored = match trimmed.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None if trimmed.contains('/') => trimmed.to_owned(),
            None => format!("**/{trimmed}"),
        };
        let glob = GlobBuilder::new(&anchored)
            .literal_separator(true)
            .backslash_escape(true)
            .build()
            .map_err(|e| wrong(pattern, &e.kind()))?;
        set.add(glob);
    }
    set.build().map_err(|e| Error::Invalid(e.to_string()))
}
