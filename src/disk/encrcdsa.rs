//! Headers of encrypted disk images: `encrcdsa` (version 2) and `cdsaencr`
//! (version 1), and how a password opens them.
//!
//! All integers are big-endian. Source: `formats/encrcdsa.md`, where what is
//! marked V was verified on real images.

use crate::bundle::Token;
use crate::crypt::Secret;
use crate::error::{Error, Result};
use crate::io::bytes::{all_zero, array, be32, be64, to_usize, usize32};
use des::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::NoPadding};
use sha1::Sha1;
use zeroize::Zeroizing;

/// Most rounds of the password function that are done for all key records: hdiutil
/// calibrates to some hundred thousands; a torn header must not keep us busy for days.
const MAX_ITERATIONS: u32 = 10_000_000;
/// Most key records that are looked at.
const MAX_KEYS: u32 = 64;
/// Length of a version 1 trailer.
pub const V1_LEN: usize = 1276;
/// CSSM's number for AES.
const AES: u32 = 0x8000_0001;
/// Bytes of the key that authenticates chunk numbers.
const HMAC_KEY: usize = 20;

/// What a header says about the image; no secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version: 1 or 2.
    pub version: u32,
    /// Bits of the AES key: 128 or 256.
    pub key_bits: u32,
    /// Bytes of a chunk, the unit of encryption.
    pub chunk: u32,
    /// Length of the plaintext; 0 in a bundle's token.
    pub data_len: u64,
    /// First byte of the ciphertext in a file; meaningless in a bundle.
    pub data_offset: u64,
    /// What is wrong with parts that are not needed.
    pub odd: Vec<String>,
    keys: Vec<KeyRecord>,
}

/// One way to the key.
#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyRecord {
    /// Version 2, opened by a password.
    Password { iterations: u32, salt: Vec<u8>, wrap: Wrap, blob: Vec<u8> },
    /// Version 1: two wrapped keys.
    Old { iterations: u32, salt: Vec<u8>, aes: Vec<u8>, hmac: Vec<u8> },
}

/// How a version 2 record wraps its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wrap {
    /// 3DES with three keys, as all images up to 2025.
    TripleDes([u8; 8]),
    /// AES with a key of so many bytes (section 3.1).
    Aes(usize, [u8; 16]),
}

type Key = Zeroizing<Vec<u8>>;

/// The keys of an image.
pub struct Keys {
    /// AES-128 or AES-256 by its length.
    pub(super) aes: Key,
    pub(super) hmac: Key,
}

/// The image's own identity: the UUID in a bundle's token, of either version
/// (`formats/encrcdsa.md` sections 2 and 7), read even where the rest is damaged.
pub fn image_uuid(token: &Token) -> Option<uuid::Uuid> {
    let bytes: [u8; 16] = match token {
        Token::EncrCdsa(t) => array(t, 36)?,
        Token::CdsaEncr(t) => array(t, t.len().checked_sub(V1_LEN)?)?,
        Token::Missing | Token::Empty | Token::Unknown(_) | Token::Unread { .. } => return None,
    };
    Some(uuid::Uuid::from_bytes(bytes)).filter(|u| !u.is_nil())
}

fn damaged(text: impl Into<String>) -> Error {
    Error::corrupt("encryption header", text)
}

impl Header {
    /// Words for people: `AES-128`.
    pub fn cipher(&self) -> String {
        format!("AES-{}", self.key_bits)
    }

    /// The cipher that a version 2 header names, whatever is wrong with the rest of it.
    pub fn named_cipher(h: &[u8]) -> Option<String> {
        let key_bits = be32(h, 24).filter(|bits| matches!(bits, 128 | 256))?;
        let known = h.starts_with(b"encrcdsa") && (be32(h, 16)?, be32(h, 20)?) == (5, AES);
        known.then(|| format!("AES-{key_bits}"))
    }

    /// Decode a version 2 header.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when a field is impossible, [`Error::Unsupported`] for an
    /// algorithm that is not known or when no key record takes a password.
    pub fn parse_v2(h: &[u8]) -> Result<Self> {
        let field = |at: usize| be32(h, at).ok_or_else(|| damaged("it is cut off"));
        if !h.starts_with(b"encrcdsa") {
            return Err(damaged("its signature is missing"));
        }
        let version = field(8)?;
        if version != 2 {
            return Err(Error::Unsupported(format!("encryption header of version {version}")));
        }
        let (mode, algorithm, key_bits) = (field(16)?, field(20)?, field(24)?);
        if (field(12)?, mode, algorithm, field(28)?) != (16, 5, AES, 91) {
            let (iv_bits, iv_mac) = (field(12)?, field(28)?);
            let text = format!(
                "encryption algorithm {algorithm:#x} of {key_bits} bits in mode {mode}, with vectors \
                 of {iv_bits} bytes by {iv_mac}, is not known"
            );
            return Err(Error::Unsupported(text));
        }
        let chunk = field(52)?;
        check_sizes(key_bits, chunk)?;
        let count = field(72)?;
        if count == 0 || count > MAX_KEYS {
            return Err(damaged(format!("{count} key records")));
        }
        let (mut keys, mut broken, mut others, mut rounds) = (Vec::new(), Vec::new(), 0, 0);
        for i in 0..usize32(count) {
            let at = 76 + 20 * i;
            let (kind, offset, len) = (field(at)?, be64(h, at + 4), be64(h, at + 12));
            let start = to_usize(offset.unwrap_or(u64::MAX));
            let end = start.saturating_add(to_usize(len.unwrap_or(u64::MAX)));
            let record = h.get(start..end).ok_or_else(|| damaged("a key record lies outside"));
            let record = record.and_then(|record| match kind {
                _ if kind == 0 || all_zero(record) => Err(damaged("a key record is zeros")),
                1 => password_record(record).map(Some),
                // Of a kind that is not known nothing can be said.
                _ => Ok(None),
            });
            match record {
                Ok(Some(record)) => {
                    rounds = u32::saturating_add(rounds, record.iterations());
                    keys.push(record);
                }
                Ok(None) => others += 1,
                Err(e) => broken.push((i + 1, e)),
            }
        }
        iterations(rounds.max(1))?;
        let odd = broken.iter().map(|(n, e)| format!("key record {n}: {e}")).collect();
        match (keys.is_empty(), broken.into_iter().next()) {
            (true, Some((_, e))) => return Err(e),
            (true, None) => {
                let text = format!("none of its {others} key records takes a password");
                return Err(Error::Unsupported(text));
            }
            _ => {}
        }
        let (data_len, data_offset) = (be64(h, 56).unwrap_or(0), be64(h, 64).unwrap_or(0));
        Ok(Self { version, key_bits, chunk, data_len, data_offset, odd, keys })
    }

    /// Decode a version 1 trailer (1276 bytes).
    ///
    /// # Errors
    /// As for version 2.
    pub fn parse_v1(t: &[u8]) -> Result<Self> {
        if t.len() != V1_LEN || !t.ends_with(b"cdsaencr") {
            return Err(damaged("its signature is missing"));
        }
        let field = |at: usize| be32(t, at).ok_or_else(|| damaged("it is cut off"));
        let sized = |len_at: usize, at: usize, max: usize| -> Result<Vec<u8>> {
            let len = usize32(field(len_at)?);
            if len == 0 || len > max {
                return Err(damaged(format!("a key of {len} bytes")));
            }
            Ok(t.get(at..at + len).unwrap_or_default().to_vec())
        };
        let aes = sized(0x88, 0x8C, 256)?;
        let key_bits = match aes.len() {
            40 => 128,
            56 => 256,
            n => return Err(damaged(format!("a wrapped AES key of {n} bytes"))),
        };
        let chunk = field(0x10)?;
        check_sizes(key_bits, chunk)?;
        let salt = sized(0x34, 0x38, 32)?;
        let record = KeyRecord::Old {
            iterations: iterations(field(0x30)?)?,
            salt,
            aes,
            hmac: sized(0x1B4, 0x1B8, 256)?,
        };
        let data_len = be64(t, 0x4E8).unwrap_or(0);
        let (odd, keys) = (Vec::new(), vec![record]);
        Ok(Self { version: 1, key_bits, chunk, data_len, data_offset: 0, odd, keys })
    }

    /// Open the header with a password. `what` names the image in errors.
    ///
    /// # Errors
    /// [`Error::WrongPassword`] when no key record opens; [`Error::Corrupt`] when one
    /// opens, but the header contradicts the keys in it.
    pub fn unlock(&self, password: &Secret, what: &str) -> Result<Keys> {
        for form in password.forms() {
            for record in &self.keys {
                if let Some(keys) = record.open(&form, self.key_bits)? {
                    return Ok(keys);
                }
            }
        }
        Err(Error::WrongPassword(what.into()))
    }
}

fn check_sizes(key_bits: u32, chunk: u32) -> Result<()> {
    if !matches!(key_bits, 128 | 256) {
        return Err(Error::Unsupported(format!("AES with a key of {key_bits} bits")));
    }
    if !(512..=1 << 20).contains(&chunk) || !chunk.is_multiple_of(512) {
        return Err(damaged(format!("chunks of {chunk} bytes")));
    }
    Ok(())
}

fn iterations(n: u32) -> Result<u32> {
    if n == 0 || n > MAX_ITERATIONS {
        let text =
            format!("{n} rounds of the password function (at most {MAX_ITERATIONS} are done)");
        return Err(damaged(text));
    }
    Ok(n)
}

fn password_record(r: &[u8]) -> Result<KeyRecord> {
    let field = |at: usize| be32(r, at).ok_or_else(|| damaged("a key record is cut off"));
    let kdf = field(0)?;
    if kdf != 103 {
        return Err(Error::Unsupported(format!("password function {kdf} is not known")));
    }
    let rounds = iterations(field(8)?)?;
    let salt_len = usize32(field(12)?);
    if salt_len == 0 || salt_len > 32 {
        return Err(damaged(format!("a salt of {salt_len} bytes")));
    }
    let (iv_len, bits, algorithm) = (field(48)?, field(84)?, field(88)?);
    let (padding, mode) = (field(92)?, field(96)?);
    let iv: [u8; 16] = array(r, 52).ok_or_else(|| damaged("a key record is cut off"))?;
    let blob_len = usize32(field(100)?);
    let blob = r.get(104..104usize.saturating_add(blob_len)).unwrap_or_default();
    let wrap = match (algorithm, bits, iv_len) {
        (17, 192, 8) => Wrap::TripleDes(array(&iv, 0).unwrap_or_default()),
        // An IV of 8 bytes is filled up with zeros.
        (AES, 128 | 192 | 256, 8) => {
            let mut whole = [0; 16];
            whole.iter_mut().zip(iv.iter().take(8)).for_each(|(to, from)| *to = *from);
            Wrap::Aes(usize32(bits) / 8, whole)
        }
        (AES, 128 | 192 | 256, 16) => Wrap::Aes(usize32(bits) / 8, iv),
        (17, 192, _) | (AES, 128 | 192 | 256, _) => {
            let text = format!("a wrapped key of {blob_len} bytes with an IV of {iv_len}");
            return Err(damaged(text));
        }
        _ => {
            let text = format!(
                "key wrapping by algorithm {algorithm:#x} of {bits} bits in mode {mode} with padding \
                 {padding} is not known"
            );
            return Err(Error::Unsupported(text));
        }
    };
    if (padding, mode) != (7, 6) {
        let text = format!(
            "key wrapping by algorithm {algorithm:#x} in mode {mode} with padding {padding} is not known"
        );
        return Err(Error::Unsupported(text));
    }
    let block = if matches!(wrap, Wrap::TripleDes(_)) { 8 } else { 16 };
    if blob.is_empty() || !blob.len().is_multiple_of(block) {
        return Err(damaged(format!("a wrapped key of {blob_len} bytes with an IV of {iv_len}")));
    }
    Ok(KeyRecord::Password {
        iterations: rounds,
        salt: r.get(16..16 + salt_len).unwrap_or_default().to_vec(),
        wrap,
        blob: blob.to_vec(),
    })
}

impl Wrap {
    /// The keys of a blob, with their padding, under a password.
    fn unwrap(&self, password: &[u8], salt: &[u8], rounds: u32, blob: &[u8]) -> Option<Key> {
        match self {
            Self::TripleDes(iv) => unwrap_3des(&wrapping_key(password, salt, rounds), iv, blob),
            Self::Aes(len, iv) => {
                let mut key = Zeroizing::new(vec![0; *len]);
                pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, rounds, &mut key);
                unwrap_aes(&key, iv, blob)
            }
        }
    }

    /// Bytes in a block of the cipher.
    fn block(&self) -> usize {
        if matches!(self, Self::TripleDes(_)) { 8 } else { 16 }
    }
}

/// AES-CBC without padding, by the key's length.
fn unwrap_aes(key: &[u8], iv: &[u8; 16], blob: &[u8]) -> Option<Key> {
    let mut data = Zeroizing::new(blob.to_vec());
    match key.len() {
        16 => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded::<NoPadding>(&mut data)
            .ok()?,
        24 => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded::<NoPadding>(&mut data)
            .ok()?,
        _ => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded::<NoPadding>(&mut data)
            .ok()?,
    };
    Some(data)
}

/// 3DES-EDE-CBC without padding.
fn unwrap_3des(key: &[u8; 24], iv: &[u8; 8], blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut data = Zeroizing::new(blob.to_vec());
    let cipher = cbc::Decryptor::<des::TdesEde3>::new(key.into(), iv.into());
    cipher.decrypt_padded::<NoPadding>(&mut data).ok()?;
    Some(data)
}

/// What comes before a PKCS#7 padding to blocks of `block` bytes; `None` if there is none.
fn unpad(data: &[u8], block: usize) -> Option<&[u8]> {
    let n = usize::from(*data.last()?);
    if n == 0 || n > block || n > data.len() {
        return None;
    }
    let (body, pad) = data.split_at(data.len() - n);
    pad.iter().all(|b| usize::from(*b) == n).then_some(body)
}

impl KeyRecord {
    fn iterations(&self) -> u32 {
        match self {
            Self::Password { iterations, .. } | Self::Old { iterations, .. } => *iterations,
        }
    }

    /// The keys, if this is the password.
    fn open(&self, password: &[u8], key_bits: u32) -> Result<Option<Keys>> {
        let Some((aes, hmac)) = self.unwrap(password) else { return Ok(None) };
        let wanted = (usize32(key_bits) / 8, HMAC_KEY);
        if (aes.len(), hmac.len()) != wanted {
            // The mark of the right password was there: the header is wrong.
            let found = (aes.len(), hmac.len());
            return Err(damaged(format!("its keys have {found:?} bytes, expected {wanted:?}")));
        }
        Ok(Some(Keys { aes, hmac }))
    }

    fn unwrap(&self, password: &[u8]) -> Option<(Key, Key)> {
        let own = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        match self {
            Self::Password { iterations, salt, wrap, blob } => {
                let plain = wrap.unwrap(password, salt, *iterations, blob)?;
                // The mark behind the keys is the check of the password.
                let keys = unpad(&plain, wrap.block())?.strip_suffix(b"CKIE\0")?;
                let (aes, hmac) = keys.split_at_checked(keys.len().checked_sub(HMAC_KEY)?)?;
                Some((own(aes), own(hmac)))
            }
            Self::Old { iterations, salt, aes, hmac } => {
                let key = wrapping_key(password, salt, *iterations);
                Some((unwrap_old(&key, aes)?, unwrap_old(&key, hmac)?))
            }
        }
    }
}

fn wrapping_key(password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<[u8; 24]> {
    let mut key = Zeroizing::new([0; 24]);
    pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, &mut *key);
    key
}

/// The double wrapping of version 1 (section 7).
fn unwrap_old(key: &[u8; 24], blob: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const IV: [u8; 8] = [0x4A, 0xDD, 0xA2, 0x2C, 0x79, 0xE8, 0x21, 0x05];
    let outer = unwrap_3des(key, &IV, blob)?;
    let mut turned = Zeroizing::new(unpad(&outer, 8)?.to_vec());
    turned.reverse();
    let iv: [u8; 8] = array(&turned, 0)?;
    let inner = unwrap_3des(key, &iv, turned.get(8..)?)?;
    let body = unpad(&inner, 8)?;
    Some(Zeroizing::new(body.strip_prefix(&[0; 4])?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(s: &str) -> Vec<u8> {
        (0..s.len()).step_by(2).map(|i| u8::from_str_radix(&s[i..i + 2], 16).unwrap()).collect()
    }

    /// Vectors of `formats/encrcdsa.md` section 8.
    #[test]
    fn passwords_open_known_key_records() {
        let cases = [
            (
                "foo",
                "5cf49f341b33ae5c3d858a27e2f358e54d91802e",
                192_307,
                "8c647593b7e982cb",
                "158cef194b7738a18f506585623dae18689e40c81126389f30cff4349adb4ebd5de0c0c71fedc6b5832642b4f679f4cc",
                128,
                "fee3c6f1fd19242fbb0c6b2c391e50af",
                "fee3c6f1fd19242fbb0c6b2c391e50af40f98600",
            ),
            (
                "openwall123",
                "884f164bcb22763d51b514f4fb47beee67f7848d",
                294_117,
                "107465ab13cabc37",
                "4eb95e77bdd06a63e5ace4c6912e602969cf6d084f064bb803d20530585752aa941cb26f5b4e01471eb8b4cacb6dc11f89e9f03af66da6ca2aaf3febf7623335",
                256,
                "11e955414981ddd4e6ebf43fd7a90d769bfdaef55a84b058542057ef1a809694",
                "11e955414981ddd4e6ebf43fd7a90d769bfdaef5",
            ),
            (
                "openwall",
                "d7af39b1565a4de54c614867ffd6d1c8c54339b3",
                263_157,
                "24b860af719a4997",
                "571781caae23af5e88bd1255d17f2affd7e448c8ec3ddb79ffd6bf8b959d20224a302d30acdf619bcee61c064ac72657",
                128,
                "e2b0beb21fcae2a4ffcbc89c71dc641f",
                "e2b0beb21fcae2a4ffcbc89c71dc641f009cd204",
            ),
        ];
        for (password, salt, iterations, iv, blob, bits, aes, hmac) in cases {
            let wrap = Wrap::TripleDes(hex(iv).try_into().unwrap());
            let record = KeyRecord::Password { iterations, salt: hex(salt), wrap, blob: hex(blob) };
            let keys = record.open(password.as_bytes(), bits).unwrap().expect(password);
            assert_eq!((keys.aes.to_vec(), keys.hmac.to_vec()), (hex(aes), hex(hmac)));
            assert!(record.open(b"wrong", bits).unwrap().is_none());
            // The right password under a header that is wrong about the key's length.
            assert!(matches!(record.open(password.as_bytes(), 384 - bits), Err(Error::Corrupt(_))));
        }
    }

    /// The record of section 8.5 as it lies in a token, byte by byte.
    fn record_8_5() -> Vec<u8> {
        let mut r = vec![0; 616];
        let mut put = |at: usize, b: &[u8]| r[at..at + b.len()].copy_from_slice(b);
        let number = |n: u32| n.to_be_bytes();
        put(0, &number(103));
        put(8, &number(384_615));
        put(12, &number(20));
        put(16, &hex("20a528dfdc3dc653d5da26923cd7b07d03eda76e"));
        put(48, &number(8));
        put(52, &hex("8c4efec3fd03f925"));
        put(84, &number(192));
        put(88, &number(0x8000_0001));
        put(92, &number(7));
        put(96, &number(6));
        put(100, &number(64));
        put(
            104,
            &hex(
                "17b5d1683f6cd8b076943f1397d96f2d7a966596bd4c816334f444b26c33b6dd1a2f309a375ed9c3a612b5877c75ea6c2f3053fdb4c2b9a477d6291573fcb7cd",
            ),
        );
        r
    }

    #[test]
    fn keys_wrapped_with_aes_open() {
        let record = password_record(&record_8_5()).unwrap();
        let keys = record.open(b"po99oo", 256).unwrap().unwrap();
        let (aes, hmac) = (keys.aes.to_vec(), keys.hmac.to_vec());
        assert_eq!(aes, hex("5ac12eefca0c369335447069ed1ef304dc1b8c50b26eaf6575c575f16118192c"));
        assert_eq!(hmac, hex("5ac12eefca0c369335447069ed1ef304dc1b8c50"));
        assert!(record.open(b"wrong", 256).unwrap().is_none());
    }

    #[test]
    fn unknown_ways_to_wrap_are_named_by_their_numbers() {
        for (at, value, said) in [
            (88, 0x8000_0002u32, "0x80000002"),
            (84, 200, "200 bits"),
            (96, 9, "mode 9"),
            (92, 1, "padding 1"),
        ] {
            let mut r = record_8_5();
            r[at..at + 4].copy_from_slice(&value.to_be_bytes());
            match password_record(&r) {
                Err(Error::Unsupported(text)) => assert!(text.contains(said), "{text}"),
                other => panic!("{said}: {other:?}"),
            }
        }
    }

    #[test]
    fn version_1_keys_open() {
        let record = KeyRecord::Old {
            iterations: 1000,
            salt: hex("f615ec6c463799eccc6a2dfbedf12c6bdc422a2a"),
            aes: hex(
                "a595f4a81a490e7aa6378034661da57a424f922c971d3db3f856f8d54b0784bcc5d7182905c4237153c5d250b8aee1d26410b1dca7b1cb73",
            ),
            hmac: hex(
                "74a060efbaf2c79d5523219d8162c425befbb2094fb46e7ffaedc7cd4f192e6f0c47d8aa91e0a3201346725d3ddadfff",
            ),
        };
        let keys = record.open(b"vilefault", 256).unwrap().unwrap();
        assert_eq!(
            keys.aes.to_vec(),
            hex("3c169719399778612f3c08213a0323ed41617f8b01c6d14c5cc306c1b6dd16c9")
        );
        assert_eq!(keys.hmac.to_vec(), hex("59ce97a59b7af5b990c78597224cbb7441728fb1"));
        assert!(record.open(b"vilefaulT", 256).unwrap().is_none());
    }

    #[test]
    fn impossible_headers_are_damage_and_unknown_ones_unsupported() {
        assert!(matches!(Header::parse_v2(b"encrcdsa"), Err(Error::Corrupt(_))));
        let mut h = vec![0; 1000];
        h[..8].copy_from_slice(b"encrcdsa");
        for (at, v) in [
            (8, 2u32),
            (12, 16),
            (16, 5),
            (20, 0x8000_0001),
            (24, 128),
            (28, 91),
            (52, 512),
            (72, 1),
            (76, 1),
            // The key record: 600 bytes at 100.
            (84, 100),
            (92, 600),
            (100, 9),
        ] {
            h[at..at + 4].copy_from_slice(&v.to_be_bytes());
        }
        assert!(
            matches!(Header::parse_v2(&h), Err(Error::Unsupported(_))),
            "unknown password function"
        );
        h[80..88].copy_from_slice(&u64::MAX.to_be_bytes());
        assert!(matches!(Header::parse_v2(&h), Err(Error::Corrupt(_))), "record outside");
        h[20..24].copy_from_slice(&7u32.to_be_bytes());
        assert!(matches!(Header::parse_v2(&h), Err(Error::Unsupported(_))), "unknown cipher");
        assert!(iterations(u32::MAX).is_err());
    }
}
