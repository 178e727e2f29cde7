//! The read-only interface both formats offer: a **volume** and its **views**.
//!
//! A [`Volume`] is what all its views share: bytes, identity, owners of blocks,
//! allocation. A view ([`FileSystem`]) is one tree of names: nodes by number,
//! metadata, directories, streams, attributes. HFS+ has one view; APFS has the live
//! one and one for each snapshot.
//!
//! Links, compression, encryption and journal replay are resolved below this interface:
//! whoever uses it never sees how a format stores them.

pub mod acl;
mod metadata;
mod normal_form;
mod overlap;
mod owners;
mod path;
mod stored;
mod view;
mod views;
mod volume;
mod walk;
pub mod xattr;

pub use crate::report::present;
pub use metadata::{Device, Kind, Metadata, NodeId, Time, Times};
pub use normal_form::{decompose, decomposed};
pub(crate) use overlap::overlapping;
pub use owners::{Name, Owned, Owner};
pub use path::{link_target, resolve, split};
pub use stored::{Body, Stored};
pub use view::{ContentId, Cursor, Dangling, DirEntry, Extent, FileSystem, Stream, XattrInfo};
pub use views::Views;
pub use volume::{About, Details, View, ViewId, Volume, Zeros};
pub use walk::{Entry, Step, Visits, by_name, walk};
