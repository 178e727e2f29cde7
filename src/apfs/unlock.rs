//! From a password to the key of a volume (section 10).

use super::format::{PER_FILE_KEY_FLAG, PER_FILE_KEYS};
use super::keybag::{self, Entry, HINT, Kind, UNLOCK, VOLUME_KEY, Wrapped};
use super::object::Blocks;
use super::superblock::Superblock;
use crate::crypt::xts::Xts;
use crate::error::{Error, Result};
use crate::io::bytes::le64;
use aes_kw::cipher::KeyInit;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use zeroize::Zeroizing;

/// Most iterations of the derivation that are carried out for all keys of a volume together: a
/// single one of macOS's takes a hundredth.
const MAX_ITERATIONS: u64 = 10_000_000;
/// Most of them for all volumes of a container and all passwords together.
pub const MAX_IN_ALL: u64 = 5 * MAX_ITERATIONS;
/// Most keys that a password is tried on; each costs a derivation.
const MAX_TRIED: usize = 64;
/// What the salt of an HMAC stands behind.
const MAC_MAGIC: [u8; 6] = [1, 0x16, 0x20, 0x17, 0x15, 5];
/// The bit of a key's flags that says it has 128 bits: converted from CoreStorage.
const BITS_128: u32 = 2;

/// What opens a volume.
pub struct Lock {
    volume_key: Wrapped,
    /// Keys that a password opens, one for each user, for the disk, for recovery.
    keys: Vec<Wrapped>,
    /// Hint for the password.
    pub hint: Option<String>,
}

impl Lock {
    /// Read the keybags of a volume.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when they are not sound or have no key for the volume;
    /// [`Error::Unsupported`] for keys that no password opens.
    pub fn read(
        blocks: &Blocks,
        keylocker: (u64, u64),
        container: &[u8; 16],
        volume: &Superblock,
    ) -> Result<Self> {
        if volume.incompatible & PER_FILE_KEYS != 0 || volume.flags & PER_FILE_KEY_FLAG != 0 {
            let text = "has a key for each file, which only the device that made it can open";
            return Err(Error::Unsupported(format!("the volume '{}' {text}", volume.name)));
        }
        let bag = keybag::read(blocks, Kind::Container, keylocker, container)?;
        let entry = |tag| bag.iter().find(|e| e.tag == tag && e.uuid == volume.uuid);
        let lacks = |what: &str| {
            Error::corrupt("container keybag", format!("has no {what} for the volume"))
        };
        let key = entry(VOLUME_KEY).ok_or_else(|| lacks("key"))?;
        let place = entry(UNLOCK).ok_or_else(|| lacks("unlock records"))?;
        let place = le64(&place.data, 0)
            .zip(le64(&place.data, 8))
            .ok_or_else(|| lacks("unlock records"))?;
        let bag = keybag::read(blocks, Kind::Volume, place, &volume.uuid)?;
        let hint = bag.iter().find(|e| e.tag == HINT).map(hint);
        let volume_key = Wrapped::parse(&key.data, "volume key")?;
        let keys = bag.iter().filter(|e| e.tag == UNLOCK);
        // One key that is damaged must not keep the others from opening.
        let possible = |key: &Wrapped| key.rounds() <= MAX_ITERATIONS;
        let keys = keys.filter_map(|e| Wrapped::parse(&e.data, "key").ok()).filter(possible);
        let keys: Vec<Wrapped> = keys.take(MAX_TRIED).collect();
        let rounds = keys.iter().map(Wrapped::rounds).fold(0, u64::saturating_add);
        if rounds > MAX_ITERATIONS {
            let text = format!(
                "the volume '{}' asks for {rounds} rounds of the password function for each \
                 password (at most {MAX_ITERATIONS} are done)",
                volume.name
            );
            return Err(Error::Unsupported(text));
        }
        if keys.is_empty() {
            return Err(Error::corrupt("volume keybag", "has no sound key that a password opens"));
        }
        Ok(Self { volume_key, keys, hint })
    }

    /// Try a password, or a personal recovery key, on every key; `None` if it opens none.
    /// `left`: how many rounds of the password function may still be done.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when it is right, but the volume's key is damaged;
    /// [`Error::Unsupported`] when too many rounds were done before.
    pub fn open(&self, password: &[u8], left: &AtomicU64) -> Result<Option<Xts>> {
        for key in &self.keys {
            let rounds = key.rounds();
            let less = |n: u64| n.checked_sub(rounds);
            if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_err() {
                let text = "its keys and the passwords that were given are so many that no more \
                            were tried";
                return Err(Error::Unsupported(text.into()));
            }
            let Some(kek) = open_key(key, password) else { continue };
            let bad =
                || Error::corrupt("volume key", "the password is right, but the key is damaged");
            let vek = unwrap(&kek, &self.volume_key).ok_or_else(bad)?;
            return volume_cipher(&vek, &self.volume_key).ok_or_else(bad).map(Some);
        }
        Ok(None)
    }
}

impl Wrapped {
    /// Rounds of the password function that trying a password on it costs.
    fn rounds(&self) -> u64 {
        self.password.as_ref().map_or(0, |(rounds, _)| *rounds)
    }
}

fn hint(e: &Entry) -> String {
    String::from_utf8_lossy(&e.data).trim_end_matches('\0').to_owned()
}

/// The key that a password opens.
fn open_key(key: &Wrapped, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (iterations, salt) = key.password.as_ref()?;
    let iterations = Some(*iterations).filter(|n| *n > 0)?;
    let mut derived = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, u32::try_from(iterations).ok()?, &mut *derived);
    unwrap(&*derived, key)
}

/// RFC 3394: a wrong key fails.
fn unwrap(with: &[u8], wrapped: &Wrapped) -> Option<Zeroizing<Vec<u8>>> {
    let short = wrapped.info & BITS_128 != 0;
    let blob = if short { wrapped.key.get(..24)? } else { wrapped.key.get(..40)? };
    let mut out = Zeroizing::new(vec![0; blob.len() - 8]);
    if short {
        aes_kw::KwAes128::new_from_slice(with.get(..16)?).ok()?.unwrap_key(blob, &mut out).ok()?;
    } else {
        aes_kw::KwAes256::new_from_slice(with.get(..32)?).ok()?.unwrap_key(blob, &mut out).ok()?;
    }
    Some(out)
}

/// The two keys of XTS: the halves of a long key; of a short one, itself and a hash.
fn volume_cipher(vek: &[u8], wrapped: &Wrapped) -> Option<Xts> {
    if wrapped.info & BITS_128 == 0 {
        return Xts::new(vek.get(..16)?, vek.get(16..32)?);
    }
    let digest = Zeroizing::new(
        Sha256::new().chain_update(vek.get(..16)?).chain_update(wrapped.uuid).finalize(),
    );
    Xts::new(vek.get(..16)?, digest.get(..16)?)
}

/// Whether `mac` is the HMAC of `text` under a salt.
pub fn is_mac_of(salt: &[u8], text: &[u8], mac: &[u8]) -> bool {
    let key = Sha256::new().chain_update(MAC_MAGIC).chain_update(salt).finalize();
    let Ok(mut hmac) = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&key) else { return false };
    hmac.update(text);
    hmac.verify_slice(mac).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_rounds_are_done_than_are_left() {
        let key = |rounds: u64| Wrapped {
            uuid: [0; 16],
            info: 0,
            key: vec![0; 40],
            password: Some((rounds, vec![1; 16])),
        };
        let lock = Lock { volume_key: key(1), keys: vec![key(100), key(50)], hint: None };
        let left = AtomicU64::new(400);
        for still in [250, 100] {
            assert!(lock.open(b"wrong", &left).unwrap().is_none());
            assert_eq!(left.load(Ordering::Relaxed), still);
        }
        assert!(matches!(lock.open(b"wrong", &left), Err(Error::Unsupported(_))));
    }
}
