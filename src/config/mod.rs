//! What servers are told and what they note: configuration files, read within bounds, `smb.conf`
//! as Samba reads it, and Samba's databases.

pub mod samba;
pub mod tdb;
pub mod text;
