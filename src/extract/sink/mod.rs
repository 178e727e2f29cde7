//! Where a restore goes: a folder, or one stream.

mod again;
mod attributes;
pub mod dir;
pub mod file;
mod object;
mod pax;
mod queue;
pub mod tar;
