//! `smb.conf`, as Samba reads it (measured with 4.13 to 4.25).
//!
//! Names of options count without case and blanks, those with a colon too. A share's option
//! goes over the one of `[global]`. A share that is begun a second time loses its options with a
//! colon. Lines without `=` are passed over; comments are lines of their own.

pub mod keys;
mod parse;
pub mod value;

use super::text::At;
use std::collections::BTreeMap;
use value::Size;

pub use parse::{parse, parse_with};

/// A configuration.
#[derive(Debug, Default)]
pub struct Samba {
    /// The file that was asked for.
    pub path: String,
    /// `[global]`.
    pub global: Section,
    /// Shares in their order.
    pub shares: Vec<Section>,
    /// What was seen on the way.
    pub remarks: Vec<Remark>,
    /// Every line with `=`, in the order it was read: those that lost, too.
    pub lines: Vec<Setting>,
}

/// A section and what is set in it.
#[derive(Debug, Default, Clone)]
pub struct Section {
    /// Its name as it is written first.
    pub name: String,
    /// Where it begins.
    pub at: Option<At>,
    /// Options by the name that counts.
    pub settings: BTreeMap<String, Setting>,
    /// Options with a colon that it had before it was begun anew.
    pub lost: Vec<Setting>,
}

/// An option that is set.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The name that counts: lower case, no blanks, the usual one of several.
    pub key: String,
    /// The name as it is written.
    pub written: String,
    /// Its value; of continued lines one line.
    pub value: String,
    /// Where it stands; the first of continued lines.
    pub at: At,
    /// Whether the name means the contrary (`writeable` is not `read only`).
    pub inverted: bool,
    /// The line's text, and the section it is in.
    pub line: String,
    /// The share's name, `None` in `[global]`.
    pub section: Option<String>,
}

/// Something a reader of the file should know.
#[derive(Debug, Clone)]
pub enum Remark {
    /// `[name` without `]`: Samba ends here.
    NoBracket(At, String),
    /// A share is to be like another that is not there before it: Samba ends here.
    NoSource(At, String),
    /// A line without `=`.
    NoEquals {
        /// Where.
        at: At,
        /// What it says.
        text: String,
        /// The option before it, to which it may belong.
        after: Option<Setting>,
    },
    /// A file that is included and is not there.
    NoInclude(At, String),
    /// An include that could not be followed, and why.
    Unread(At, String, String),
    /// Shares come from the registry.
    Registry(At),
    /// A share is begun again.
    Twice {
        /// Here.
        at: At,
        /// Its name there.
        name: String,
        /// Where it was begun first.
        first: Option<At>,
        /// The options that are lost by it.
        lost: Vec<Setting>,
    },
    /// A blank stands inside the brackets.
    NameBlank(At, String),
}

/// What `fruit:time machine` says of a share.
#[derive(Debug, Clone, Copy)]
pub enum TimeMachine<'a> {
    /// It is not set, or set to no.
    No,
    /// Yes.
    Yes(&'a Setting),
    /// Something that Samba takes for no.
    Odd(&'a Setting),
}

/// Where one looks for an option of a share.
#[derive(Debug, Clone, Copy)]
pub struct Share<'a> {
    /// The whole.
    pub samba: &'a Samba,
    /// The share.
    pub section: &'a Section,
}

impl Samba {
    /// The shares with what they have from `[global]`.
    ///
    /// Not those that are switched off and only there for others to be like them.
    pub fn shares(&self) -> impl Iterator<Item = Share<'_>> {
        let all = self.shares.iter().map(|section| Share { samba: self, section });
        all.filter(|s| !s.is_template())
    }

    /// Shares that are meant for Time Machine, by their own or the global word: folders only.
    pub fn time_machines(&self) -> impl Iterator<Item = Share<'_>> {
        self.shares().filter(|s| s.is_meant())
    }

    /// Whether Samba ends while it reads it.
    pub fn is_fatal(&self) -> bool {
        self.remarks.iter().any(|r| matches!(r, Remark::NoBracket(..) | Remark::NoSource(..)))
            || self.lines.iter().any(|s| keys::refuses(&s.key, &s.value))
    }

    /// Whether there may be shares that are not seen here.
    pub fn has_registry(&self) -> bool {
        self.remarks.iter().any(|r| matches!(r, Remark::Registry(_)))
    }

    /// A global option.
    pub fn global(&self, key: &str) -> Option<&Setting> {
        self.global.settings.get(key)
    }

    /// A global option that is yes or no.
    pub fn global_bool(&self, key: &str) -> Option<bool> {
        let set = self.global(key)?;
        value::boolean(&set.value).map(|b| b != set.inverted)
    }
}

impl<'a> Share<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.section.name
    }

    /// An option, of its own or from `[global]`.
    pub fn get(&self, key: &str) -> Option<&'a Setting> {
        self.section.settings.get(key).or_else(|| self.samba.global(key))
    }

    /// An option of its own.
    pub fn own(&self, key: &str) -> Option<&'a Setting> {
        self.section.settings.get(key)
    }

    /// An option that is yes or no.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let set = self.get(key)?;
        value::boolean(&set.value).map(|b| b != set.inverted)
    }

    /// A list, empty if it is not set.
    pub fn list(&self, key: &str) -> Vec<String> {
        self.get(key).map(|s| value::list(&s.value)).unwrap_or_default()
    }

    /// Printers, homes and the like, which are no folders for bundles.
    pub fn is_special(&self) -> bool {
        let name = self.name().to_lowercase();
        matches!(name.as_str(), "homes" | "printers" | "print$" | "ipc$")
            || self.boolean("printable") == Some(true)
    }

    /// Whether it is switched off, and others are to be like it.
    fn is_template(&self) -> bool {
        let like_it = |s: &&Section| {
            let from = s.settings.get("copy").map(|set| set.value.to_lowercase());
            from.is_some_and(|from| from == self.name().to_lowercase())
        };
        self.boolean("available") == Some(false) && self.samba.shares.iter().any(|s| like_it(&s))
    }

    /// What it says of Time Machine.
    pub fn time_machine(&self) -> TimeMachine<'a> {
        match self.get("fruit:timemachine") {
            None => TimeMachine::No,
            Some(set) => match value::boolean(&set.value) {
                Some(true) => TimeMachine::Yes(set),
                Some(false) => TimeMachine::No,
                None => TimeMachine::Odd(set),
            },
        }
    }

    /// Whether somebody meant it for Time Machine; of homes and printers by their own word only.
    pub fn is_meant(&self) -> bool {
        let own = self.own("fruit:timemachine").is_some();
        !matches!(self.time_machine(), TimeMachine::No) && (own || !self.is_special())
    }

    /// The module list.
    pub fn modules(&self) -> Vec<String> {
        self.list("vfsobjects")
    }

    /// The path, without quotes, variables as they are written.
    pub fn path(&self) -> Option<String> {
        let path = value::unquoted(&self.get("path")?.value);
        (!path.is_empty()).then_some(path)
    }

    /// The limit, if it has one.
    pub fn limit(&self, fractions: bool) -> Option<(&'a Setting, Size)> {
        let set = self.get("fruit:timemachinemaxsize")?;
        Some((set, value::size(&set.value, fractions)))
    }

    /// Whether it can be written to, by `read only` alone.
    pub fn is_writable(&self) -> bool {
        self.boolean("readonly") == Some(false)
    }

    /// What a Mac is told of it, as far as the file says.
    pub fn seen(&self, fractions: bool) -> Seen {
        let modules = self.modules();
        let place = |name: &str| modules.iter().position(|m| m.eq_ignore_ascii_case(name));
        let fruit = place("fruit").is_some();
        let time_machine = matches!(self.time_machine(), TimeMachine::Yes(_));
        let aapl = self.samba.global_bool("fruit:aapl") != Some(false);
        let opens = modules.iter().all(|m| keys::is_module(m)) && keys::fruit_words_hold(self);
        Seen {
            opens: opens && self.path().is_some_and(|p| p.starts_with('/')),
            apple: fruit && aapl,
            time_machine: fruit && aapl && time_machine,
            streams: place("streams_xattr").or(place("streams_depot")).is_some(),
            limit: match self.limit(fractions) {
                Some((_, Size::Bytes(bytes))) if fruit && time_machine => Some(bytes),
                _ => None,
            },
        }
    }
}

/// What Macs see of a share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it can be opened, as far as the file says.
    pub opens: bool,
    /// Whether Apple's extensions are spoken.
    pub apple: bool,
    /// Whether it claims to be for Time Machine.
    pub time_machine: bool,
    /// Whether streams work.
    pub streams: bool,
    /// The size it says it has, if not the disk's.
    pub limit: Option<u64>,
}
