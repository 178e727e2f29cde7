//! The bundle's property lists, in Apple's exact layout.

use std::fmt::Write;

use super::BundleOptions;

/// A property list value. Dates are ISO 8601 text in UTC, as in `2019-01-02T03:04:05Z`.
#[derive(Clone, Debug, PartialEq)]
pub enum PlistValue {
    /// `<string>`.
    Text(String),
    /// `<integer>`.
    Integer(u64),
    /// `<real>`.
    Real(f64),
    /// `<true/>` or `<false/>`.
    Bool(bool),
    /// `<date>`.
    Date(String),
    /// `<array>`.
    Array(Vec<PlistValue>),
    /// `<dict>`, in this order.
    Dict(Vec<(String, PlistValue)>),
}

impl PlistValue {
    /// A dictionary from pairs.
    pub fn dict<const N: usize>(pairs: [(&str, PlistValue); N]) -> Self {
        PlistValue::Dict(pairs.into_iter().map(|(k, v)| (k.to_string(), v)).collect())
    }

    /// A string.
    pub fn text(text: &str) -> Self {
        PlistValue::Text(text.into())
    }

    fn put(&self, depth: usize, out: &mut String) {
        let tabs = "\t".repeat(depth);
        let line = match self {
            PlistValue::Text(s) => format!("<string>{}</string>", escape(s)),
            PlistValue::Integer(n) => format!("<integer>{n}</integer>"),
            PlistValue::Real(n) => format!("<real>{n}</real>"),
            PlistValue::Bool(b) => format!("<{b}/>"),
            PlistValue::Date(d) => format!("<date>{d}</date>"),
            PlistValue::Array(list) if list.is_empty() => "<array/>".into(),
            PlistValue::Array(list) => {
                let _ = writeln!(out, "{tabs}<array>");
                list.iter().for_each(|v| v.put(depth + 1, out));
                "</array>".into()
            }
            PlistValue::Dict(pairs) => {
                let _ = writeln!(out, "{tabs}<dict>");
                for (key, value) in pairs {
                    let _ = writeln!(out, "{tabs}\t<key>{}</key>", escape(key));
                    value.put(depth + 1, out);
                }
                "</dict>".into()
            }
        };
        let _ = writeln!(out, "{tabs}{line}");
    }

    fn to_plist(&self) -> plist::Value {
        match self {
            PlistValue::Text(s) => s.clone().into(),
            PlistValue::Integer(n) => (*n).into(),
            PlistValue::Real(n) => (*n).into(),
            PlistValue::Bool(b) => (*b).into(),
            PlistValue::Date(d) => {
                plist::Value::Date(plist::Date::from_xml_format(d).expect("a date"))
            }
            PlistValue::Array(list) => {
                plist::Value::Array(list.iter().map(PlistValue::to_plist).collect())
            }
            PlistValue::Dict(pairs) => plist::Value::Dictionary(
                pairs.iter().map(|(k, v)| (k.clone(), v.to_plist())).collect(),
            ),
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The XML document for a value.
pub fn plist_xml(value: &PlistValue) -> Vec<u8> {
    let mut out = String::from(concat!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n",
        "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" ",
        "\"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n",
        "<plist version=\"1.0\">\n",
    ));
    value.put(0, &mut out);
    out.push_str("</plist>\n");
    out.into_bytes()
}

/// The binary property list for a value.
pub fn to_binary_plist(value: &PlistValue) -> Vec<u8> {
    let mut out = Vec::new();
    value.to_plist().to_writer_binary(&mut out).expect("writing to memory");
    out
}

/// The bundle's `Info.plist` for a disk of `size` bytes.
pub fn info_plist(size: u64, options: &BundleOptions) -> Vec<u8> {
    let mut pairs = vec![
        ("CFBundleInfoDictionaryVersion".to_string(), PlistValue::text("6.0")),
        ("band-size".to_string(), PlistValue::Integer(options.band_size)),
        ("bundle-backingstore-version".to_string(), PlistValue::Integer(options.version.into())),
        ("diskimage-bundle-type".to_string(), PlistValue::text("com.apple.diskimage.sparsebundle")),
        ("size".to_string(), PlistValue::Integer(size)),
    ];
    if let Some(uuid) = &options.uuid {
        pairs.push(("uuid".into(), PlistValue::text(uuid)));
    }
    let value = PlistValue::Dict(pairs);
    if options.binary_info { to_binary_plist(&value) } else { plist_xml(&value) }
}

/// `com.apple.TimeMachine.MachineID.plist`.
#[derive(Clone, Debug, Default)]
pub struct MachineId {
    /// Hardware UUID.
    pub host_uuid: String,
    /// Model, such as `MacBookPro8,1`.
    pub model: Option<String>,
    /// Primary MAC address.
    pub address: Option<String>,
    /// 0 neutral, 1 good, 2 failed.
    pub verification_state: Option<u64>,
    /// ISO date of the last verification.
    pub verification_date: Option<String>,
    /// ISO date on which the user put off a new backup.
    pub declined_date: Option<String>,
}

impl MachineId {
    /// The XML document, keys in alphabetical order as Apple sorts them.
    pub fn to_xml(&self) -> Vec<u8> {
        let mut pairs = Vec::new();
        let mut add = |key: &str, value: Option<PlistValue>| {
            pairs.extend(value.map(|v| (key.to_string(), v)));
        };
        let text = |t: &Option<String>| t.clone().map(PlistValue::Text);
        let date = |t: &Option<String>| t.clone().map(PlistValue::Date);
        add("RecoveryBackupDeclinedDate", date(&self.declined_date));
        add("VerificationDate", date(&self.verification_date));
        let skip = self.verification_state.map(|_| PlistValue::Bool(false));
        add("VerificationExtendedSkip", skip);
        add("VerificationState", self.verification_state.map(PlistValue::Integer));
        add("com.apple.backupd.BackupMachineAddress", text(&self.address));
        add("com.apple.backupd.HostUUID", Some(PlistValue::Text(self.host_uuid.clone())));
        add("com.apple.backupd.ModelID", text(&self.model));
        plist_xml(&PlistValue::Dict(pairs))
    }
}

/// `com.apple.TimeMachine.SnapshotHistory.plist`.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Completion date (ISO), name and bytes copied of each backup, oldest first.
    pub backups: Vec<(String, String, Option<u64>)>,
}

impl History {
    /// The XML document.
    pub fn to_xml(&self) -> Vec<u8> {
        let entry = |(date, name, bytes): &(String, String, Option<u64>)| {
            let key = |k: &str| format!("com.apple.backupd.{k}");
            let mut pairs = vec![
                (key("SnapshotCompletionDate"), PlistValue::Date(date.clone())),
                (key("SnapshotName"), PlistValue::Text(name.clone())),
            ];
            let copied = bytes.map(PlistValue::Integer);
            pairs.extend(copied.map(|n| (key("SnapshotTotalBytesCopied"), n)));
            PlistValue::Dict(pairs)
        };
        let list = self.backups.iter().map(entry).collect();
        plist_xml(&PlistValue::dict([("Snapshots", PlistValue::Array(list))]))
    }
}

/// `com.apple.TimeMachine.Results.plist`.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// Whether a backup is under way.
    pub running: bool,
    /// Bytes free on the volume.
    pub bytes_available: u64,
    /// Bytes in use on the volume.
    pub bytes_used: u64,
}

impl Results {
    /// The XML document.
    pub fn to_xml(&self) -> Vec<u8> {
        plist_xml(&PlistValue::dict([
            ("BackupStrategy", PlistValue::Integer(2)),
            ("BytesAvailable", PlistValue::Integer(self.bytes_available)),
            ("BytesToCopy", PlistValue::Integer(0)),
            ("BytesUsed", PlistValue::Integer(self.bytes_used)),
            ("ClientID", PlistValue::text("com.apple.backupd")),
            ("Running", PlistValue::Bool(self.running)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_has_apples_layout() {
        let options = BundleOptions { band_size: 1_048_576, ..BundleOptions::default() };
        let text = String::from_utf8(info_plist(5_242_880, &options)).unwrap();
        assert_eq!(text.len(), 494);
        assert!(text.contains("\t<key>band-size</key>\n\t<integer>1048576</integer>\n"));
        let back: plist::Value = plist::from_bytes(text.as_bytes()).unwrap();
        let size = back.as_dictionary().unwrap()["size"].as_unsigned_integer();
        assert_eq!(size, Some(5_242_880));
    }
}
