//! SOURCE to one disk of bytes: a bundle, a raw image, a block device, a single-file
//! container; decrypted, if need be.

mod adc;
pub mod check;
mod cipher;
mod decrypt;
pub mod dump;
mod encrcdsa;
pub(crate) mod noise;
mod numbering;
mod rescued;
mod sparseimage;
mod udif;
mod xz;

pub use crate::crypt::{Asker, Secret};
pub use encrcdsa::image_uuid;
pub use rescued::BAD_MAP;

use crate::bundle::{Bundle, Token};
use crate::error::{Error, Locus, Result};
use crate::io::{
    Access, Anchor, BadMap, Change, FailedRead, Given, Meter, RawFile, ReadAt, Slice, Source,
    SourceWatch, read_up_to,
};
use crate::partition::{self, PartitionMap};
use crate::report::Reporter;
use decrypt::{Decrypted, Numbering, Store};
use encrcdsa::{Header, Keys, V1_LEN};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const BUNDLE: &str = "sparse bundle";
/// The kind of what is no container.
const RAW: &str = "raw image";
/// The kind of an image that was packed once and is not written to.
pub const PACKED: &str = "compressed disk image";

/// What the disk is kept in.
pub enum Container {
    /// A sparse bundle.
    Bundle(Arc<Bundle>),
    /// A file: a raw image, a single-file container; or a block device.
    Raw(Arc<RawFile>),
}

/// Asked for passwords when one is needed, with the name of the image: gives all that may
/// be tried on it. None: go on without.
pub type AskPassword<'a> = &'a dyn Fn(&str) -> Result<Vec<Secret>>;

/// A disk: where it is kept, and its bytes.
pub struct Disk {
    path: PathBuf,
    container: Container,
    kind: &'static str,
    encryption: Option<Encryption>,
    bytes: std::result::Result<Source, Locked>,
    decrypted: Option<Arc<Decrypted>>,
    cut: Option<String>,
    jobs: usize,
    asker: Option<Asker>,
    given: Given,
    meter: Arc<Meter>,
    watch: Option<SourceWatch>,
    /// Of a copy that ddrescue made: what it lacks.
    bad_map: Option<Arc<BadMap>>,
    /// What could not be read while it was looked at for what it is.
    unread: Vec<String>,
}

/// How a disk is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// `AES-128`, `AES-256`; or what is wrong with the header.
    pub cipher: String,
    /// Whether the header is damaged.
    pub damaged: Option<String>,
    /// What else is wrong with the header, though it can be used.
    pub odd: Vec<String>,
    /// Chunks are numbered from the start of the disk, not of each band.
    pub disk_numbering: bool,
}

/// Why the bytes of a disk cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Locked {
    /// Encrypted, and no password was given.
    NoPassword,
    /// The encryption header, or the container in the file, is damaged.
    Damaged(String),
    /// Encrypted or packed in a way that cannot be read.
    Unsupported(String),
    /// The token cannot be read, so it is not known whether it is encrypted.
    Unread {
        /// Why not.
        why: String,
        /// The system refused this user.
        denied: bool,
    },
}

/// The header of an encrypted image and what it encrypts.
struct Sealed {
    header: Result<Header>,
    store: SealedStore,
}

enum SealedStore {
    Bundle,
    File(Source),
}

/// A watch of what was opened; that there is none is kept in mind as a failed read.
fn watched(anchor: &Anchor, meter: &Meter) -> Option<SourceWatch> {
    let untold = |e: &Error| {
        let (text, place) = (e.to_string(), Locus { offset: 0, band: None });
        meter.fail(FailedRead { cause: text.clone(), text, place });
    };
    anchor.watch().inspect_err(untold).ok()
}

impl Disk {
    /// Open what lies at `path`, without a password.
    ///
    /// # Errors
    /// [`Error::NotASource`] for what is none, [`Error::Io`], or [`Error::Corrupt`]
    /// for a bundle that has lost its geometry.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &|_| Ok(Vec::new()))
    }

    /// Open what lies at `path`; `ask` gives the password if it is encrypted.
    ///
    /// # Errors
    /// As for [`Disk::open`]; and [`Error::WrongPassword`].
    pub fn open_with(path: &Path, ask: AskPassword<'_>) -> Result<Self> {
        Self::open_how(path, ask, &Access::default())
    }

    /// Open what lies at `path`; `ask` gives the password if it is encrypted, `access`
    /// says how its bytes are read.
    ///
    /// # Errors
    /// As for [`Disk::open_with`]; and [`Error::Unsupported`] if bands are to be mapped
    /// into memory where that is not safe, or where there are none.
    pub fn open_how(path: &Path, ask: AskPassword<'_>, access: &Access) -> Result<Self> {
        Self::open_held(&Anchor::open(path, access.links)?, ask, access)
    }

    /// Open what is held; the path it was found by is only said in messages.
    ///
    /// # Errors
    /// As for [`Disk::open_how`].
    pub fn open_held(anchor: &Anchor, ask: AskPassword<'_>, access: &Access) -> Result<Self> {
        let path = anchor.path();
        let container = if anchor.is_dir() {
            Container::Bundle(Arc::new(Bundle::open_held(anchor, access)?))
        } else if access.given.band_size.is_some() || access.given.size.is_some() {
            let text = format!("{}: --band-size and --size are for bundles", path.display());
            return Err(Error::Invalid(text));
        } else if access.mapped {
            let text = format!("{}: memory maps (--mmap) are for bundles only", path.display());
            return Err(Error::Unsupported(text));
        } else {
            Container::Raw(Arc::new(RawFile::open_held(anchor, access.meter.clone())?))
        };
        let mut disk = Self {
            path: path.to_owned(),
            container,
            kind: RAW,
            encryption: None,
            bytes: Err(Locked::NoPassword),
            decrypted: None,
            cut: None,
            jobs: access.jobs,
            asker: None,
            given: access.given,
            meter: access.meter.clone(),
            watch: watched(anchor, &access.meter),
            bad_map: access.bad_map.clone(),
            unread: Vec::new(),
        };
        disk.fill(ask)?;
        disk.check_bad_map()?;
        Ok(disk)
    }

    /// Open what is locked for want of a password, and have `asker` give those of volumes
    /// from now on. Nothing is asked for a disk that is open.
    ///
    /// # Errors
    /// As for [`Disk::open_with`].
    pub fn unlock(&mut self, asker: Asker) -> Result<()> {
        if matches!(self.bytes, Err(Locked::NoPassword)) {
            self.fill(&|name| asker(name, 0))?;
        }
        self.asker = Some(asker);
        Ok(())
    }

    fn fill(&mut self, ask: AskPassword<'_>) -> Result<()> {
        if let Container::Bundle(bundle) = &self.container
            && let Token::Unread { why, denied } = bundle.token()
        {
            self.kind = BUNDLE;
            self.bytes = Err(Locked::Unread { why: why.clone(), denied: *denied });
            return Ok(());
        }
        let plain: Source = match &self.container {
            Container::Bundle(b) => {
                self.kind = BUNDLE;
                b.bands()
            }
            Container::Raw(f) => self.rescued(f.clone()),
        };
        let source = match self.sealed(&plain)? {
            None => plain,
            Some(sealed) => match self.unseal(sealed, ask)? {
                Some(source) => source,
                None => return Ok(()),
            },
        };
        let unpacked = match self.container {
            Container::Bundle(_) => Ok(None),
            Container::Raw(_) => unpack(source.clone(), &mut self.unread),
        };
        self.bytes = match unpacked {
            Ok(Some(Unpacked { kind, disk, cut })) => {
                self.kind = kind;
                self.cut = self.cut.take().or(cut);
                Ok(disk)
            }
            Ok(None) => Ok(source),
            Err(Error::Unsupported(text)) => Err(Locked::Unsupported(text)),
            Err(e @ Error::Corrupt(_)) => Err(Locked::Damaged(e.to_string())),
            Err(e) => return Err(e),
        };
        Ok(())
    }

    /// The encryption header, if there is one.
    fn sealed(&mut self, plain: &Source) -> Result<Option<Sealed>> {
        if let Container::Bundle(b) = &self.container {
            let header = match b.token() {
                Token::Missing | Token::Empty => return Ok(None),
                Token::EncrCdsa(t) => Header::parse_v2(t),
                Token::CdsaEncr(t) => Header::parse_v1(t),
                Token::Unknown(n) => {
                    Err(Error::corrupt("token", format!("{n} bytes that are no encryption header")))
                }
                Token::Unread { why, .. } => Err(Error::corrupt("token", why.clone())),
            };
            return Ok(Some(Sealed { header, store: SealedStore::Bundle }));
        }
        // The header may be long: it holds all key records.
        let mark = probe(&**plain, 0, 8, &mut self.unread);
        let head = match mark == b"encrcdsa" {
            true => read_up_to(&**plain, 0, 1 << 17)?,
            false => Vec::new(),
        };
        if head.starts_with(b"encrcdsa") {
            let store = SealedStore::File(plain.clone());
            return Ok(Some(Sealed { header: Header::parse_v2(&head), store }));
        }
        let len = plain.len();
        let v1 = crate::io::bytes::to_u64(V1_LEN);
        if len >= v1 {
            let mark = probe(&**plain, len - 8, 8, &mut self.unread);
            if mark == b"cdsaencr" {
                let tail = read_up_to(&**plain, len - v1, V1_LEN)?;
                let data: Source = Arc::new(Slice::new(plain.clone(), 0, len - v1));
                let header = Header::parse_v1(&tail);
                return Ok(Some(Sealed { header, store: SealedStore::File(data) }));
            }
        }
        Ok(None)
    }

    /// Decrypt; `None` if that is not possible, which is noted.
    fn unseal(&mut self, sealed: Sealed, ask: AskPassword<'_>) -> Result<Option<Source>> {
        let header = match sealed.header {
            Ok(header) => header,
            Err(e) => {
                self.note_unusable(&e);
                return Ok(None);
            }
        };
        self.encryption = Some(Encryption {
            cipher: header.cipher(),
            damaged: None,
            odd: header.odd.clone(),
            disk_numbering: false,
        });
        if let SealedStore::File(file) = &sealed.store {
            let (stored, wanted) = (file.len().saturating_sub(header.data_offset), header.data_len);
            self.cut =
                (wanted > stored).then(|| format!("{stored} of {wanted} bytes are in the file"));
        }
        let name = self.name();
        let passwords = ask(&name)?;
        let tried = passwords.iter().map(|p| header.unlock(p, &name));
        let Some(unlocked) = first_right(tried) else { return Ok(None) };
        let opened = match unlocked {
            Ok(keys) => self.decrypted(sealed.store, &header, &keys),
            Err(e) => Err(e),
        };
        match opened {
            // What is wrong with the header costs what needs it.
            Err(e @ Error::Corrupt(_)) => {
                self.bytes = Err(Locked::Damaged(e.to_string()));
                if let Some(encryption) = &mut self.encryption {
                    encryption.damaged = Some(e.to_string());
                }
                Ok(None)
            }
            opened => opened,
        }
    }

    /// The plaintext of what `store` holds.
    fn decrypted(
        &mut self,
        store: SealedStore,
        header: &Header,
        keys: &Keys,
    ) -> Result<Option<Source>> {
        let Some((store, size)) = self.store(&store, header, keys)? else {
            return Ok(None);
        };
        let decrypted = Arc::new(Decrypted::new(header, keys, store, size, self.jobs)?);
        self.decrypted = Some(decrypted.clone());
        Ok(Some(decrypted))
    }

    /// An encryption header that cannot be used.
    fn note_unusable(&mut self, e: &Error) {
        let damaged = matches!(e, Error::Corrupt(_)).then(|| e.to_string());
        self.bytes = Err(match &damaged {
            Some(text) => Locked::Damaged(text.clone()),
            None => Locked::Unsupported(e.to_string()),
        });
        let named = match self.container() {
            Container::Bundle(b) => match b.token() {
                Token::EncrCdsa(token) => Header::named_cipher(token),
                _ => None,
            },
            Container::Raw(_) => None,
        };
        let cipher = named.unwrap_or_else(|| "unknown cipher".into());
        self.encryption =
            Some(Encryption { cipher, damaged, odd: Vec::new(), disk_numbering: false });
    }

    /// Where the ciphertext lies, and the bytes of the disk.
    fn store(
        &mut self,
        sealed: &SealedStore,
        header: &Header,
        keys: &Keys,
    ) -> Result<Option<(Store, u64)>> {
        Ok(Some(match (sealed, &self.container) {
            (SealedStore::Bundle, Container::Bundle(b)) => {
                let numbering = match b.info().version {
                    Some(1) => Numbering::Band,
                    _ => numbering::find(header, keys, &b.bands())?,
                };
                if let Some(e) = &mut self.encryption {
                    e.disk_numbering = numbering == Numbering::Disk;
                }
                (Store::Bands(b.bands(), numbering), b.info().size)
            }
            (SealedStore::File(file), _) => {
                let stored = file.len().saturating_sub(header.data_offset);
                // Of a chunk that is cut nothing can be decrypted.
                let whole = stored - stored % u64::from(header.chunk);
                let unknown = header.data_len == 0 || header.data_len > stored;
                let size = if unknown { whole } else { header.data_len };
                (Store::File(file.clone(), header.data_offset), size)
            }
            (SealedStore::Bundle, Container::Raw(_)) => return Ok(None),
        }))
    }

    /// Who is asked for the passwords of what lies on the disk.
    pub fn asker(&self) -> Option<&Asker> {
        self.asker.as_ref()
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Last part of the path, for people.
    pub fn name(&self) -> String {
        let real = std::fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        real.file_name()
            .map_or_else(|| self.path.display().to_string(), |n| n.to_string_lossy().into_owned())
    }

    /// What it is kept in.
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// What it is kept in, in words.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// What became of the name it was opened by, if that does not lead to it any more.
    pub fn moved(&self) -> Option<&'static str> {
        self.watch.as_ref()?.moved()
    }

    /// What became of the file that holds it; of a bundle nothing is told here.
    pub fn change(&self) -> Option<Change> {
        self.watch.as_ref()?.change()
    }

    /// What became of it since it was opened that makes what was read of it doubtful: a
    /// sentence each.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let changed = match &self.container {
            Container::Bundle(bundle) => match bundle.bands().changes() {
                Ok(changes) => changes.loss(),
                Err(e) => Some(e.to_string()),
            },
            Container::Raw(_) => {
                let lost = self.change().filter(|change| change.is_loss());
                lost.map(|change| format!("the file {} while it was read", change.words()))
            }
        };
        doubts.extend(changed);
        doubts.extend(self.moved().map(|why| format!("{}: {why}", self.path.display())));
        doubts
    }

    /// Whether something that holds a disk was recognised, not just a file or device.
    pub fn is_container(&self) -> bool {
        self.kind != RAW || self.encryption.is_some()
    }

    /// The bundle, if it is one.
    pub fn bundle(&self) -> Option<&Bundle> {
        match &self.container {
            Container::Bundle(b) => Some(b),
            Container::Raw(_) => None,
        }
    }

    /// The bundle, if it is one, to be kept beyond the disk.
    pub fn shared_bundle(&self) -> Option<Arc<Bundle>> {
        match &self.container {
            Container::Bundle(b) => Some(b.clone()),
            Container::Raw(_) => None,
        }
    }

    /// How it is encrypted, if it is.
    pub fn encryption(&self) -> Option<&Encryption> {
        self.encryption.as_ref()
    }

    /// Why the bytes cannot be read, if so.
    pub fn locked(&self) -> Option<&Locked> {
        self.bytes.as_ref().err()
    }

    /// Why no password can be tried: the keys are encrypted in a way that is not known.
    pub fn untried(&self) -> Option<&str> {
        match self.locked() {
            Some(Locked::Unsupported(why)) if self.encryption.is_some() => Some(why),
            _ => None,
        }
    }

    /// Runs of chunks met so far whose ciphertext is all zero: never written, or lost.
    /// In a file with a container in it, these are places in the file.
    pub fn unwritten_chunks(&self) -> Vec<Range<u64>> {
        self.decrypted.as_ref().map_or_else(Vec::new, |d| d.unwritten())
    }

    /// What could not be read of places where a container or its encryption might have told of
    /// itself: it was taken for neither.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Reads that failed so far, whatever became of that.
    pub fn failed_reads(&self) -> Vec<FailedRead> {
        self.meter.failed()
    }

    /// What is missing at the end of the file that holds the disk, if something is.
    pub fn cut(&self) -> Option<&str> {
        self.cut.as_deref()
    }

    /// Size of the disk in bytes; of a locked one as far as its container tells.
    pub fn size(&self) -> u64 {
        match (&self.bytes, &self.container) {
            (Ok(bytes), _) => bytes.len(),
            (Err(_), Container::Bundle(b)) => b.info().size,
            (Err(_), Container::Raw(f)) => f.len(),
        }
    }

    /// The partition map, or what was given instead of it; what is wrong with it is
    /// reported.
    ///
    /// # Errors
    /// As for [`Disk::bytes`] and [`partition::scan_given`].
    pub fn partitions(&self, reporter: &dyn Reporter) -> Result<PartitionMap> {
        partition::scan_given(&*self.bytes()?, self.given, reporter)
    }

    /// The bytes of the disk.
    ///
    /// # Errors
    /// While it is locked: [`Error::PasswordRequired`], [`Error::Corrupt`] for a
    /// damaged header, [`Error::Unsupported`].
    pub fn bytes(&self) -> Result<Source> {
        match &self.bytes {
            Ok(source) => Ok(source.clone()),
            Err(Locked::NoPassword) => Err(Error::PasswordRequired(self.name())),
            Err(Locked::Damaged(text)) => Err(Error::corrupt(self.name(), text.clone())),
            Err(Locked::Unsupported(text)) => {
                Err(Error::Unsupported(format!("{}: {text}", self.name())))
            }
            Err(Locked::Unread { why, denied }) => {
                let source = match denied {
                    true => rustix::io::Errno::ACCESS.into(),
                    false => std::io::Error::other(why.clone()),
                };
                Err(Error::io(format!("cannot read {}/token", self.path.display()), source))
            }
        }
    }
}

/// The first attempt whose password was right, else the last; `None` if there was none.
fn first_right<T>(tried: impl Iterator<Item = Result<T>>) -> Option<Result<T>> {
    let mut last = None;
    for attempt in tried {
        if !matches!(attempt, Err(Error::WrongPassword(_))) {
            return Some(attempt);
        }
        last = Some(attempt);
    }
    last
}

/// A container that was opened.
struct Unpacked {
    kind: &'static str,
    disk: Source,
    /// What is missing at the end of the file.
    cut: Option<String>,
}

/// Read what may be a mark. A place that cannot be read holds none; it is noted.
fn probe(file: &dyn ReadAt, offset: u64, len: usize, unread: &mut Vec<String>) -> Vec<u8> {
    read_up_to(file, offset, len).unwrap_or_else(|e| {
        unread.push(e.to_string());
        Vec::new()
    })
}

/// Look for a single-file container. `None`: raw.
fn unpack(file: Source, unread: &mut Vec<String>) -> Result<Option<Unpacked>> {
    let head = probe(&*file, 0, 4, unread);
    if head == b"sprs" {
        let image = sparseimage::SparseImage::open(file)?;
        let cut = match image.cut() {
            0 => None,
            n => Some(format!("{n} of its bands lie past the end of the file")),
        };
        return Ok(Some(Unpacked { kind: "sparse image", disk: Arc::new(image), cut }));
    }
    if head == b"shdw" {
        let text = "it is an ASIF image (.asif, macOS 26), which tmbundle cannot read";
        return Err(Error::Unsupported(text.into()));
    }
    if file.len() >= 512 && probe(&*file, file.len() - 512, 4, unread) == b"koly" {
        let disk = udif::open(file)?;
        return Ok(Some(Unpacked { kind: PACKED, disk, cut: None }));
    }
    Ok(None)
}
