//! HFS Plus and HFSX, for reading.
//!
//! `format` holds the layouts; `node`, `btree`, `scan`, `catalog`, `extents`,
//! `attributes`, `fork` navigate; `private`, `names`, `entries` find what lies where;
//! `journal` replays; `volume` opens all of it;
//! `salvage` puts together what is left of a broken one;
//! `filesystem` is the view without links and compression that the rest of the
//! program sees; `check` finds what is wrong.

mod about;
pub mod attributes;
pub mod btree;
pub mod catalog;
pub mod check;
mod descent;
pub mod dump;
mod entries;
pub mod extents;
mod filesystem;
pub mod fork;
pub mod format;
mod headers;
pub mod journal;
mod metadata;
mod misplaced;
mod names;
pub mod node;
mod objects;
mod overlay;
mod owners;
mod private;
mod replay;
mod salvage;
mod scan;
mod shared;
mod spec;
pub mod unicode;
mod volume;

pub use shared::Shared;
pub use volume::{HeaderSource, HfsPlus, leads_to_catalog, parse_header};
