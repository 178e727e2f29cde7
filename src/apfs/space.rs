//! The virtual objects of a volume as they were at one transaction, with the key
//! that decrypts them.

use super::omap::{Mapping, Omap};
use super::store::{MADE, MADE_XID};
use crate::crypt::xts::Xts;
use crate::error::{Error, Result};
use std::sync::Arc;

/// A volume's virtual objects at one transaction.
pub struct Space {
    omap: Arc<Omap>,
    xid: u64,
    key: Option<Arc<Xts>>,
}

impl Space {
    /// What `omap` says of transaction `xid`.
    pub fn new(omap: Arc<Omap>, xid: u64, key: Option<Arc<Xts>>) -> Self {
        Self { omap, xid, key }
    }

    /// Where object `oid` lies.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the map does not know it.
    pub fn require(&self, oid: u64, what: &str) -> Result<Mapping> {
        if oid >= MADE {
            return Ok(Mapping { xid: MADE_XID, block: oid, flags: 0, size: 0 });
        }
        self.omap.find(oid, self.xid)?.ok_or_else(|| {
            Error::corrupt(
                what,
                format!("the object map has no object {oid} at transaction {}", self.xid),
            )
        })
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&Xts> {
        self.key.as_deref()
    }

    /// What decrypts an object; `None` if it is not encrypted.
    ///
    /// # Errors
    /// [`Error::PasswordRequired`] without the key.
    pub fn cipher(&self, found: &Mapping) -> Result<Option<&Xts>> {
        if !found.encrypted() {
            return Ok(None);
        }
        match &self.key {
            Some(key) => Ok(Some(key)),
            None => Err(Error::PasswordRequired("the volume".into())),
        }
    }
}
