//! Avahi's service files (avahi.service(5)), read as strictly as Avahi does.

use super::text::At;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::sync::Arc;

/// A file.
#[derive(Debug, Clone)]
pub struct ServiceFile {
    /// Its path.
    pub path: Arc<str>,
    /// Why nothing of it is announced, and where.
    pub error: Option<(At, String)>,
    /// Two services of one type: the second's place and the type.
    pub twice: Option<(At, String)>,
    /// The instance's name.
    pub name: Option<Text>,
    /// Whether `%h` in it is replaced.
    pub wildcards: bool,
    /// What is announced.
    pub services: Vec<Service>,
}

/// A text and where its element begins.
#[derive(Debug, Clone)]
pub struct Text {
    /// Where.
    pub at: At,
    /// The text, blanks and all.
    pub text: String,
}

/// A service.
#[derive(Debug, Clone)]
pub struct Service {
    /// `_adisk._tcp`.
    pub kind: Text,
    /// Its port, 0 if none is said.
    pub port: u16,
    /// Where the port stands.
    pub port_at: Option<At>,
    /// Its records.
    pub records: Vec<Text>,
}

/// A backup disk in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// `adVN`, the share's name.
    pub name: String,
    /// `adVF`, flags.
    pub flags: u32,
}

/// What `avahi-daemon.conf` says of interfaces.
#[derive(Debug, Clone, Default)]
pub struct Daemon {
    /// Those that are used, and no others; empty: all.
    pub allow: Option<(At, Vec<String>)>,
    /// Those that are not used.
    pub deny: Option<(At, Vec<String>)>,
}

impl Daemon {
    /// Read the file (avahi-daemon.conf(5)).
    pub fn read(path: &str, text: &str) -> Self {
        let mut daemon = Self::default();
        let file: Arc<str> = path.into();
        for (n, line) in super::text::lines(text) {
            let Some((key, value)) = line.split_once('=') else { continue };
            let names = value.split(',').map(|v| v.trim().to_owned());
            let names: Vec<String> = names.filter(|v| !v.is_empty()).collect();
            let set = (!names.is_empty()).then(|| (At::new(&file, n), names));
            match key.trim() {
                "allow-interfaces" => daemon.allow = set,
                "deny-interfaces" => daemon.deny = set,
                _ => {}
            }
        }
        daemon
    }
}

impl ServiceFile {
    /// Read a file.
    pub fn read(path: &str, text: &str) -> Self {
        let mut file = Self {
            path: path.into(),
            error: None,
            twice: None,
            name: None,
            wildcards: false,
            services: Vec::new(),
        };
        if let Err((at, why)) = file.parse(text) {
            let before = text.get(..at).unwrap_or(text);
            let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
            let at = At::new(&file.path, u32::try_from(line).unwrap_or(u32::MAX));
            file.error = Some((at, why));
        }
        file.services.iter().enumerate().for_each(|(n, s)| {
            let earlier = file.services.iter().take(n).any(|e| e.kind.text == s.kind.text);
            if earlier && file.twice.is_none() {
                file.twice = Some((s.kind.at.clone(), s.kind.text.clone()));
            }
        });
        file
    }

    /// What Avahi announces of it: nothing, if anything is wrong.
    pub fn announced(&self) -> &[Service] {
        if self.error.is_some() || self.twice.is_some() { &[] } else { &self.services }
    }

    fn parse(&mut self, text: &str) -> Result<(), (usize, String)> {
        let mut reader = Reader::from_str(text);
        reader.config_mut().check_end_names = true;
        let place = |reader: &Reader<&[u8]>| usize::try_from(reader.buffer_position()).unwrap_or(0);
        let mut maker = Maker { file: self, path: Vec::new(), text: String::new(), roots: 0 };
        loop {
            let before = place(&reader);
            let event = reader.read_event().map_err(|e| (before, e.to_string()))?;
            let fail = |why: String| (before, why);
            match event {
                Event::Eof => break,
                Event::Decl(_) if before != 0 => {
                    return Err(fail("something stands before <?xml".into()));
                }
                Event::Start(tag) => maker.start(&tag, text, before).map_err(fail)?,
                Event::Empty(tag) => {
                    maker.start(&tag, text, before).map_err(fail)?;
                    maker.end(text, before).map_err(fail)?;
                }
                Event::End(_) => maker.end(text, before).map_err(fail)?,
                Event::Text(part) => {
                    let part = part.into_inner();
                    maker.words(&part).map_err(fail)?;
                }
                Event::CData(part) => {
                    let part = part.into_inner();
                    maker.words(&part).map_err(fail)?;
                }
                Event::GeneralRef(name) => {
                    let name = name.into_inner().into_owned();
                    let plain =
                        entity(&name).ok_or_else(|| fail(format!("'&{name};' means nothing")))?;
                    maker.words(&plain).map_err(fail)?;
                }
                _ => {}
            }
        }
        let end = text.len();
        if !maker.path.is_empty() {
            return Err((end, "it ends within an element".into()));
        }
        if maker.roots == 0 {
            return Err((0, "there is no service-group in it".into()));
        }
        if self.name.is_none() {
            return Err((0, "there is no <name> in it".into()));
        }
        Ok(())
    }
}

fn entity(name: &str) -> Option<String> {
    let code = match name.strip_prefix("#x") {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.strip_prefix('#').and_then(|n| n.parse().ok()),
    };
    if let Some(c) = code.and_then(char::from_u32) {
        return Some(c.to_string());
    }
    let plain = match name {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "quot" => "\"",
        "apos" => "'",
        _ => return None,
    };
    Some(plain.to_owned())
}

/// Puts elements together.
struct Maker<'a> {
    file: &'a mut ServiceFile,
    /// Names of the elements that are open, and where they begin.
    path: Vec<(String, usize)>,
    text: String,
    roots: usize,
}

impl Maker<'_> {
    fn at(&self, text: &str, offset: usize) -> At {
        let before = text.get(..offset).unwrap_or(text);
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        At::new(&self.file.path, u32::try_from(line).unwrap_or(u32::MAX))
    }

    fn words(&mut self, part: &str) -> Result<(), String> {
        if self.path.is_empty() && !part.trim().trim_start_matches('\u{feff}').is_empty() {
            return Err("text stands outside of the service-group".into());
        }
        if self.text.len() + part.len() > 1 << 16 {
            return Err("a text is too long".into());
        }
        self.text.push_str(part);
        Ok(())
    }

    fn start(&mut self, tag: &BytesStart<'_>, text: &str, offset: usize) -> Result<(), String> {
        let name = tag.name().as_ref().to_owned();
        let above: Vec<&str> = self.path.iter().map(|(n, _)| n.as_str()).collect();
        let fits = match above.as_slice() {
            [] => name == "service-group",
            ["service-group"] => matches!(name.as_str(), "name" | "service"),
            ["service-group", "service"] => matches!(
                name.as_str(),
                "type" | "subtype" | "domain-name" | "host-name" | "port" | "txt-record"
            ),
            _ => false,
        };
        if !fits {
            return Err(format!("<{name}> is not expected here"));
        }
        self.roots += usize::from(above.is_empty());
        if self.roots > 1 {
            return Err("there is more than one service-group".into());
        }
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| e.to_string())?;
            let (key, value) = (attribute.key, attribute.value);
            if name == "name" && key.as_ref() == "replace-wildcards" {
                self.file.wildcards = value.as_ref() == "yes";
            }
        }
        if name == "service" {
            let kind = Text { at: self.at(text, offset), text: String::new() };
            self.file.services.push(Service { kind, port: 0, port_at: None, records: Vec::new() });
        }
        self.text.clear();
        self.path.push((name, offset));
        Ok(())
    }

    fn end(&mut self, text: &str, _: usize) -> Result<(), String> {
        let Some((name, offset)) = self.path.pop() else {
            return Err("an element ends twice".into());
        };
        let value = Text { at: self.at(text, offset), text: std::mem::take(&mut self.text) };
        let service = self.file.services.last_mut();
        match (name.as_str(), service) {
            ("name", _) => {
                if value.text.trim().is_empty() || value.text.len() > 63 {
                    return Err("the name is empty, or longer than 63 bytes".into());
                }
                self.file.name = Some(value);
            }
            ("type", Some(service)) => {
                if !value.text.trim().starts_with('_') {
                    return Err(format!("'{}' is no type of a service", value.text));
                }
                service.kind = Text { text: value.text.trim().to_owned(), at: value.at };
            }
            ("port", Some(service)) => {
                let Ok(port) = value.text.trim().parse() else {
                    return Err(format!("'{}' is no port", value.text));
                };
                (service.port, service.port_at) = (port, Some(value.at));
            }
            ("txt-record", Some(service)) => service.records.push(value),
            ("service", Some(service)) if service.kind.text.is_empty() => {
                return Err("a service has no <type>".into());
            }
            _ => {}
        }
        Ok(())
    }
}

impl Service {
    /// Whether it is of a type.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.text.eq_ignore_ascii_case(kind)
    }
}

/// The disk that a record `dk0=adVN=…,adVF=0x82` tells of, if it is one.
pub fn disk(record: &str) -> Option<Disk> {
    let (key, rest) = record.split_once('=')?;
    let number = key.strip_prefix("dk")?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut disk = Disk { name: String::new(), flags: 0 };
    for part in rest.split(',') {
        match part.split_once('=') {
            Some(("adVN", name)) => disk.name = name.to_owned(),
            Some(("adVF", flags)) => {
                let hex = flags.trim_start_matches("0x").trim_start_matches("0X");
                disk.flags = u32::from_str_radix(hex, 16).unwrap_or(0);
            }
            _ => {}
        }
    }
    Some(disk)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "<?xml version=\"1.0\" standalone='no'?>\n<!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n\
        <service-group>\n<name replace-wildcards=\"yes\">%h &amp; co</name>\n<service>\n<type>_adisk._tcp</type>\n\
        <txt-record>dk0=adVN=tm,adVF=0x82</txt-record>\n</service>\n</service-group>\n";

    #[test]
    fn a_good_file_and_what_avahi_refuses() {
        let good = ServiceFile::read("/s", GOOD);
        assert_eq!(good.error, None);
        assert_eq!(good.name.as_ref().unwrap().text, "%h & co");
        assert!(good.wildcards);
        let service = &good.announced()[0];
        assert_eq!((service.port, service.records[0].at.line), (0, 7));
        assert_eq!(disk(&service.records[0].text), Some(Disk { name: "tm".into(), flags: 0x82 }));
        for (from, to, line) in [
            ("&amp;", "&", 4),
            ("<service-group>\n", "<service-group>\n<what/>\n", 4),
            ("_adisk", "adisk", 7),
            ("</service>", "", 8),
            ("<?xml", "\n<?xml", 2),
            ("=\"yes\"", "=\u{201c}yes\u{201d}", 4),
        ] {
            let bad = ServiceFile::read("/s", &GOOD.replacen(from, to, 1));
            let (at, why) = bad.error.clone().unwrap_or_else(|| panic!("{to:?} is taken"));
            assert!(at.line.abs_diff(line) <= 1, "{to:?}: line {} {why}", at.line);
            assert!(bad.announced().is_empty());
        }
    }
}
