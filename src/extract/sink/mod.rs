//! Where a restore goes: a folder, or one stream.

mod again;
pub mod dir;
pub mod file;
mod object;
mod pax;
mod queue;
pub mod tar;
