//! Passwords and ciphers that disk encryption and APFS share.
//!
//! One asker ([`Asker`]) gives the passwords, whoever needs them: the header of an
//! encrypted image, or the keybag of an encrypted volume.

mod secret;
pub mod xts;

pub use secret::{AskAgain, Asker, Secret};
