//! Encrypted bundles: the `encrcdsa` version 2 token and the cipher of the bands.

use aes::cipher::{BlockModeEncrypt, KeyIvInit, block_padding::NoPadding};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::bytes::{Put, put};
use crate::hfs::splitmix;

/// How chunks are numbered for their initialisation vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// From 0 in every band, as Apple does.
    Band,
    /// From 0 at the start of the device.
    Device,
}

/// A record in the token.
#[derive(Clone, Debug, PartialEq)]
pub enum KeyRecord {
    /// The keys wrapped with this password.
    Password(String),
    /// The same, wrapped with AES-192 instead of 3DES, as macOS of 2026 does.
    PasswordByAes(String),
    /// A record of another type with arbitrary bytes.
    Other {
        /// Type number; 2 is a certificate, 3 a keybag.
        kind: u32,
        /// Length in bytes.
        len: usize,
    },
}

/// How a bundle is encrypted.
#[derive(Clone, Debug)]
pub struct Encryption {
    /// 128 or 256.
    pub key_bits: u32,
    /// Bytes in a chunk: 512 or 4096.
    pub chunk: u32,
    /// PBKDF2 rounds.
    pub iterations: u32,
    /// The records, tried in order by readers.
    pub records: Vec<KeyRecord>,
    /// How chunks are numbered.
    pub numbering: Numbering,
    /// Token length, which is the data offset in its header.
    pub token_len: usize,
    /// Chooses keys, salts and vectors.
    pub seed: u64,
}

impl Encryption {
    /// AES-128 with 512-byte chunks, as hdiutil makes it.
    pub fn with_password(password: &str) -> Self {
        Encryption {
            key_bits: 128,
            chunk: 512,
            iterations: 1000,
            records: vec![KeyRecord::Password(password.into())],
            numbering: Numbering::Band,
            token_len: 122_368,
            seed: 1,
        }
    }

    fn random(&self, what: u64, len: usize) -> Vec<u8> {
        let seed = splitmix(self.seed ^ (what << 32));
        (0..len as u64).map(|i| splitmix(seed.wrapping_add(i)) as u8).collect()
    }

    pub(super) fn keys(&self) -> Keys {
        assert!(self.key_bits == 128 || self.key_bits == 256, "AES-128 or AES-256");
        Keys {
            aes: self.random(1, self.key_bits as usize / 8),
            hmac: self.random(2, 20),
            chunk: self.chunk as usize,
            numbering: self.numbering,
        }
    }

    /// The whole token file.
    pub fn token(&self) -> Vec<u8> {
        let mut out = b"encrcdsa".to_vec();
        for word in [2, 16, 5, 0x8000_0001, self.key_bits, 91, 160] {
            out.be32(word);
        }
        out.extend_from_slice(&self.random(3, 16));
        out.be32(self.chunk);
        out.be64(0);
        out.be64(self.token_len as u64);
        out.be32(self.records.len() as u32);
        let mut at = (76 + 20 * self.records.len()).next_multiple_of(16);
        let mut bodies = Vec::new();
        for (i, record) in self.records.iter().enumerate() {
            let (kind, body) = match record {
                KeyRecord::Password(password) => (1, self.wrap(i as u64, password, false)),
                KeyRecord::PasswordByAes(password) => (1, self.wrap(i as u64, password, true)),
                KeyRecord::Other { kind, len } => (*kind, self.random(90 + i as u64, *len)),
            };
            out.be32(kind);
            out.be64(at as u64);
            out.be64(body.len() as u64);
            bodies.push((at, body));
            at += bodies[i].1.len();
        }
        assert!(at <= self.token_len, "the token is too short for its records");
        out.resize(self.token_len, 0);
        bodies.iter().for_each(|(at, body)| put(&mut out, *at, body));
        out
    }

    /// A password record, 616 bytes.
    fn wrap(&self, number: u64, password: &str, by_aes: bool) -> Vec<u8> {
        let salt = self.random(10 + number, 20);
        let iv = self.random(50 + number, 8);
        let (keys, password) = (self.keys(), password.as_bytes());
        let (algorithm, blob) = match by_aes {
            false => (17, wrap_keys(&keys, password, &salt, self.iterations, &iv)),
            true => (0x8000_0001, wrap_by_aes(&keys, password, &salt, self.iterations, &iv)),
        };

        let mut out = Vec::new();
        for word in [103, 0, self.iterations, 20] {
            out.be32(word);
        }
        out.extend_from_slice(&salt);
        out.zeros(12);
        out.be32(8);
        out.extend_from_slice(&iv);
        out.zeros(24);
        for word in [192, algorithm, 7, 6, blob.len() as u32] {
            out.be32(word);
        }
        out.extend_from_slice(&blob);
        out.resize(616, 0);
        out
    }
}

impl Encryption {
    /// A version 1 header, 1276 bytes, for `len` bytes of data. The first record's
    /// password opens it.
    pub fn trailer(&self, len: u64) -> Vec<u8> {
        let Some(KeyRecord::Password(password)) = self.records.first() else {
            panic!("version 1 takes a password");
        };
        let (keys, salt) = (self.keys(), self.random(10, 20));
        let mut key = [0; 24];
        pbkdf2::pbkdf2_hmac::<Sha1>(password.as_bytes(), &salt, self.iterations, &mut key);
        let mut out = self.random(3, 16);
        out.be32(self.chunk);
        out.resize(0x28, 0);
        for word in [103, 0, self.iterations, 20] {
            out.be32(word);
        }
        out.extend_from_slice(&salt);
        for (at, iv, secret) in [(0x88, 50, &keys.aes), (0x1B4, 51, &keys.hmac)] {
            let wrapped = wrap_twice(&key, &self.random(iv, 8), secret);
            out.resize(at, 0);
            out.be32(wrapped.len() as u32);
            out.extend_from_slice(&wrapped);
        }
        out.resize(0x2E0, 0);
        out.be32(48);
        out.resize(0x4E8, 0);
        out.be64(len);
        out.be32(1);
        out.extend_from_slice(b"cdsaencr");
        out
    }
}

/// The double wrapping of version 1: the inner one behind its vector, back to front.
fn wrap_twice(key: &[u8], iv: &[u8], secret: &[u8]) -> Vec<u8> {
    const OUTER: [u8; 8] = [0x4A, 0xDD, 0xA2, 0x2C, 0x79, 0xE8, 0x21, 0x05];
    let inner = encrypt_padded_3des(key, iv, [&[0; 4], secret].concat());
    let mut turned = [iv, &inner].concat();
    turned.reverse();
    encrypt_padded_3des(key, &OUTER, turned)
}

fn encrypt_padded_3des(key: &[u8], iv: &[u8], mut data: Vec<u8>) -> Vec<u8> {
    let pad = 8 - data.len() % 8;
    data.resize(data.len() + pad, pad as u8);
    let len = data.len();
    let cipher = cbc::Encryptor::<des::TdesEde3>::new_from_slices(key, iv).unwrap();
    cipher.encrypt_padded::<NoPadding>(&mut data, len).unwrap();
    data
}

/// The keys encrypted with the password by AES-192, whose vector is the 8 bytes and zeros.
fn wrap_by_aes(keys: &Keys, password: &[u8], salt: &[u8], rounds: u32, iv: &[u8]) -> Vec<u8> {
    let mut key = [0; 24];
    pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut key);
    let mut data = [&keys.aes[..], &keys.hmac, b"CKIE\0"].concat();
    let pad = 16 - data.len() % 16;
    data.resize(data.len() + pad, pad as u8);
    let len = data.len();
    let iv = [iv, &[0; 8]].concat();
    let cipher = cbc::Encryptor::<aes::Aes192>::new_from_slices(&key, &iv).unwrap();
    cipher.encrypt_padded::<NoPadding>(&mut data, len).unwrap();
    data
}

/// The keys encrypted with the password.
fn wrap_keys(keys: &Keys, password: &[u8], salt: &[u8], rounds: u32, iv: &[u8]) -> Vec<u8> {
    let mut key = [0; 24];
    pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut key);
    encrypt_padded_3des(&key, iv, [&keys.aes[..], &keys.hmac, b"CKIE\0"].concat())
}

pub(super) struct Keys {
    aes: Vec<u8>,
    hmac: Vec<u8>,
    chunk: usize,
    numbering: Numbering,
}

impl Keys {
    /// Encrypts a band's bytes, padding them to whole chunks.
    pub fn encrypt_band(&self, band: &mut Vec<u8>, device_offset: u64) {
        band.resize(band.len().next_multiple_of(self.chunk), 0);
        let first = match self.numbering {
            Numbering::Band => 0,
            Numbering::Device => (device_offset / self.chunk as u64) as u32,
        };
        for (i, chunk) in band.chunks_mut(self.chunk).enumerate() {
            let iv = self.iv(first + i as u32);
            if self.aes.len() == 16 {
                encrypt::<aes::Aes128>(&self.aes, &iv, chunk);
            } else {
                encrypt::<aes::Aes256>(&self.aes, &iv, chunk);
            }
        }
    }

    fn iv(&self, number: u32) -> [u8; 16] {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.hmac).unwrap();
        mac.update(&number.to_be_bytes());
        mac.finalize().into_bytes()[..16].try_into().unwrap()
    }
}

fn encrypt<C>(key: &[u8], iv: &[u8], chunk: &mut [u8])
where
    C: aes::cipher::BlockCipherEncrypt + aes::cipher::KeyInit,
{
    let len = chunk.len();
    let cipher = cbc::Encryptor::<C>::new_from_slices(key, iv).unwrap();
    cipher.encrypt_padded::<NoPadding>(chunk, len).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digit = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digit).collect()
    }

    /// The keys of a bundle that hdiutil made with the password `foo`.
    fn known() -> Keys {
        Keys {
            aes: hex("fee3c6f1fd19242fbb0c6b2c391e50af"),
            hmac: hex("fee3c6f1fd19242fbb0c6b2c391e50af40f98600"),
            chunk: 512,
            numbering: Numbering::Band,
        }
    }

    #[test]
    fn keys_are_wrapped_as_hdiutil_does() {
        let salt = hex("5cf49f341b33ae5c3d858a27e2f358e54d91802e");
        let blob = wrap_keys(&known(), b"foo", &salt, 192_307, &hex("8c647593b7e982cb"));
        let start = hex("158cef194b7738a18f506585623dae18689e40c81126389f30cff4349adb4ebd");
        let end = hex("5de0c0c71fedc6b5832642b4f679f4cc");
        assert_eq!(blob, [start, end].concat());
    }

    #[test]
    fn chunks_are_encrypted_as_hdiutil_does() {
        let mut band = vec![0; 1000];
        known().encrypt_band(&mut band, 1 << 20);
        assert_eq!(band.len(), 1024);
        assert_eq!(band[512..528], hex("381bf4d5d158b78cececb391c8d7c28f"));
    }

    #[test]
    fn token_has_its_records_where_it_says() {
        let encryption = Encryption {
            key_bits: 256,
            iterations: 10,
            records: vec![KeyRecord::Other { kind: 2, len: 564 }, KeyRecord::Password("x".into())],
            ..Encryption::with_password("")
        };
        let token = encryption.token();
        assert_eq!((token.len(), &token[..8]), (122_368, &b"encrcdsa"[..]));
        let at = crate::bytes::be64(&token, 76 + 20 + 4) as usize;
        assert_eq!(crate::bytes::be32(&token, at), 103);
        assert_eq!(crate::bytes::be32(&token, at + 100), 64);
    }
}
