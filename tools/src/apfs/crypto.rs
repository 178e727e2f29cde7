//! APFS's own encryption: AES-XTS, wrapped keys, keybags.

use aes::Aes128;
use aes::cipher::{Block, BlockCipherEncrypt, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use super::object;
use crate::bytes::put;

/// XTS-AES-128 over 512-byte sectors.
#[derive(Clone)]
pub struct Xts {
    data: Aes128,
    tweak: Aes128,
}

impl std::fmt::Debug for Xts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Xts")
    }
}

fn aes128(key: &[u8]) -> Aes128 {
    Aes128::new_from_slice(key).expect("16 bytes")
}

fn encrypt(cipher: &Aes128, block: &mut [u8; 16]) {
    let mut b = Block::<Aes128>::from(*block);
    cipher.encrypt_block(&mut b);
    *block = b.into();
}

impl Xts {
    /// A cipher of two keys of 16 bytes.
    pub fn new(data: &[u8], tweak: &[u8]) -> Self {
        Xts { data: aes128(data), tweak: aes128(tweak) }
    }

    /// Encrypts whole sectors, the first of which has number `sector`.
    pub fn encrypt(&self, bytes: &mut [u8], sector: u64) {
        for (i, part) in bytes.chunks_exact_mut(512).enumerate() {
            let mut tweak = [0u8; 16];
            tweak[..8].copy_from_slice(&(sector + i as u64).to_le_bytes());
            encrypt(&self.tweak, &mut tweak);
            for block in part.chunks_exact_mut(16) {
                let block: &mut [u8; 16] = block.try_into().unwrap();
                (0..16).for_each(|j| block[j] ^= tweak[j]);
                encrypt(&self.data, block);
                (0..16).for_each(|j| block[j] ^= tweak[j]);
                let carry = tweak[15] >> 7;
                (1..16).rev().for_each(|j| tweak[j] = tweak[j] << 1 | tweak[j - 1] >> 7);
                tweak[0] = (tweak[0] << 1) ^ (carry * 0x87);
            }
        }
    }
}

/// RFC 3394: wraps `key` under `kek` (16 or 32 bytes).
pub fn wrap(kek: &[u8], key: &[u8]) -> Vec<u8> {
    let n = key.len() / 8;
    let mut a = [0xA6u8; 8];
    let mut r: Vec<[u8; 8]> = key.chunks_exact(8).map(|c| c.try_into().unwrap()).collect();
    for j in 0..6 {
        for (i, part) in r.iter_mut().enumerate() {
            let mut block = [0u8; 16];
            block[..8].copy_from_slice(&a);
            block[8..].copy_from_slice(part);
            match kek.len() {
                16 => encrypt(&aes128(kek), &mut block),
                _ => {
                    let cipher = aes::Aes256::new_from_slice(kek).expect("32 bytes");
                    let mut b = Block::<aes::Aes256>::from(block);
                    cipher.encrypt_block(&mut b);
                    block = b.into();
                }
            }
            let t = (n * j + i + 1) as u64;
            a = (u64::from_be_bytes(block[..8].try_into().unwrap()) ^ t).to_be_bytes();
            part.copy_from_slice(&block[8..]);
        }
    }
    [&a[..], &r.concat()].concat()
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    if content.len() >= 0x80 {
        out.push(0x81);
    }
    out.push(content.len() as u8);
    out.extend_from_slice(content);
    out
}

/// A wrapped key as keybags hold it; `derivation` (rounds, salt) stands in KEK entries.
pub fn key_blob(
    uuid: &[u8; 16],
    salt: &[u8; 8],
    wrapped: &[u8],
    derivation: Option<(u32, [u8; 16])>,
) -> Vec<u8> {
    let which = if derivation.is_some() { 2 } else { 1 };
    let mut inner = der(0x80, &[0]);
    inner.extend(der(0x81, uuid));
    inner.extend(der(0x82, &[0, 0, 0, 0, which, 0, 0xE0, 0xFF]));
    inner.extend(der(0x83, wrapped));
    if let Some((rounds, salt)) = derivation {
        let rounds = rounds.to_be_bytes();
        let skip = rounds.iter().take_while(|&&b| b == 0).count();
        // DER integers are signed: a leading bit of one would make the number negative.
        let skip = if rounds[skip] & 0x80 != 0 { skip - 1 } else { skip };
        inner.extend(der(0x84, &rounds[skip..]));
        inner.extend(der(0x85, &salt));
    }
    let inner = der(0xA3, &inner);
    let key = Sha256::new()
        .chain_update([0x01, 0x16, 0x20, 0x17, 0x15, 0x05])
        .chain_update(salt)
        .finalize();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any length");
    mac.update(&inner);
    let mut out = der(0x80, &[0]);
    out.extend(der(0x81, &mac.finalize().into_bytes()));
    out.extend(der(0x82, salt));
    out.extend(inner);
    der(0x30, &out)
}

/// The key that a password gives.
pub fn derive(password: &str, salt: &[u8; 16], rounds: u32) -> [u8; 32] {
    let mut out = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, rounds, &mut out);
    out
}

/// Kinds of keybag entries.
pub mod tag {
    /// A volume's key.
    pub const VOLUME_KEY: u16 = 2;
    /// In the container's keybag, where the volume's is; in the volume's, a KEK.
    pub const UNLOCK: u16 = 3;
    /// A password hint.
    pub const HINT: u16 = 4;
}

/// Type of the container's keybag.
pub const CONTAINER_KEYBAG: u32 = 0x6B65_7973;
/// Type of a volume's keybag.
pub const VOLUME_KEYBAG: u32 = 0x7265_6373;

/// A keybag of one block, sealed and encrypted under its owner's UUID.
pub fn keybag(
    (kind, owner): (u32, &[u8; 16]),
    entries: &[([u8; 16], u16, Vec<u8>)],
    (address, block_size, xid): (u64, u64, u64),
) -> Vec<u8> {
    let mut out = plain_keybag(kind, entries, block_size, xid);
    Xts::new(owner, owner).encrypt(&mut out, address * (block_size / 512));
    out
}

/// A keybag before encryption.
fn plain_keybag(
    kind: u32,
    entries: &[([u8; 16], u16, Vec<u8>)],
    block_size: u64,
    xid: u64,
) -> Vec<u8> {
    let mut out = vec![0u8; block_size as usize];
    let mut at = 0x30;
    for (uuid, tag, data) in entries {
        put(&mut out, at, uuid);
        put(&mut out, at + 16, &tag.to_le_bytes());
        put(&mut out, at + 18, &(data.len() as u16).to_le_bytes());
        put(&mut out, at + 24, data);
        at += (24 + data.len()).next_multiple_of(16);
    }
    put(&mut out, 0x20, &2u16.to_le_bytes());
    put(&mut out, 0x22, &(entries.len() as u16).to_le_bytes());
    put(&mut out, 0x24, &((at - 0x20) as u32).to_le_bytes());
    object::seal(&mut out, 0, xid, kind, 0);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    /// RFC 3394, 4.6: 256 bits of key data with a 256-bit KEK.
    #[test]
    fn key_wrap_vector() {
        let kek = hex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F");
        let key = hex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F");
        assert_eq!(
            wrap(&kek, &key),
            hex("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")
        );
    }

    /// IEEE 1619, XTS-AES-128 vector 4 (first 32 of its 512 bytes).
    #[test]
    fn xts_vector() {
        let xts = Xts::new(
            &hex("27182818284590452353602874713526"),
            &hex("31415926535897932384626433832795"),
        );
        let mut data: Vec<u8> = (0..512).map(|i| i as u8).collect();
        xts.encrypt(&mut data, 0);
        let start = "27a7479befa1d476489f308cd4cfa6e2a96e4bbe3208ff25287dd3819616e89c";
        assert_eq!(data[..32], hex(start));
    }

    /// Key derivation of an image that macOS encrypted.
    #[test]
    fn derived_key_of_a_real_volume() {
        let salt = hex("8020ff9fb12b6e3f46dc4b3e820a1757").try_into().unwrap();
        let key = derive("password", &salt, 100_000);
        assert_eq!(
            key[..],
            hex("c99df9b92dec01edb3112446d2dbdff0b59bb089bac5b0c8d2247c54ffed2f08")
        );
        let blob = key_blob(&[1; 16], &[2; 8], &[3; 40], Some((100_000, salt)));
        assert_eq!(blob.len(), 148);
        assert_eq!(key_blob(&[1; 16], &[2; 8], &[3; 40], None).len(), 124);
    }
}
