//! Passwords and keys: wiped from memory after use, never shown.

use crate::error::Result;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// A password.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

/// Asked for passwords, with the name of what is locked and how often all that it gave before
/// were wrong: gives all that may be tried on it, the likeliest first; none: go on without.
pub type Asker = Arc<dyn Fn(&str, u32) -> Result<Vec<Secret>> + Send + Sync>;

/// An [`Asker`] for the while of one opening.
pub type AskAgain<'a> = &'a dyn Fn(&str, u32) -> Result<Vec<Secret>>;

impl Secret {
    /// Take the bytes of a password.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes as they were given, to hand them on to another process.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The forms to try: as given, then composed and decomposed, since it is not
    /// documented which of them a Mac's dialogue hands on; last with the line end that
    /// `hdiutil -stdinpass` takes for a part of it.
    pub(crate) fn forms(&self) -> Vec<Zeroizing<Vec<u8>>> {
        use unicode_normalization::UnicodeNormalization;
        let mut forms = vec![self.0.clone()];
        if let Ok(text) = std::str::from_utf8(&self.0)
            && !text.is_ascii()
        {
            for form in [text.nfc().collect::<String>(), text.nfd().collect::<String>()] {
                let form = Zeroizing::new(form.into_bytes());
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        let mut line = Zeroizing::new(Vec::with_capacity(self.0.len() + 1));
        line.extend_from_slice(&self.0);
        line.push(b'\n');
        forms.push(line);
        forms
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
