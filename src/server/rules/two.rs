//! Netatalk 2: `AppleVolumes.default`.

use super::Case;
use crate::report::ServerCode as C;
use crate::server::netatalk::two::{KEYS, Key, Volume};
use crate::server::netatalk::{leading_digits, mebibytes_meant};
use crate::server::text::{is_typographic, nearest, plain};
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, told: &mut Vec<Told>) {
    let two = &case.setup.netatalk2;
    for (at, text, before) in &two.wrapped {
        let of = before
            .as_ref()
            .map(|b| format!("; it may belong to line {}", b.line))
            .unwrap_or_default();
        told.push(Told::at(C::Na2Wrapped, at, format!("'{text}' is passed over{of}")));
    }
    let none = two.volumes.iter().all(|v| !v.is_time_machine());
    for (n, volume) in two.volumes.iter().enumerate() {
        let mut found = Vec::new();
        slips(case, volume, &mut found);
        if !volume.is_time_machine() && (none || !case.host.bundles(&volume.path).is_empty()) {
            let message = format!("the volume '{}' has no `tm` among its options", volume.name());
            found.push(Told::at(C::Na2NoTm, &volume.at, message));
        }
        found.extend(limit(volume));
        found.extend(advice(volume));
        if two.volumes.iter().take(n).any(|v| v.name() == volume.name()) {
            let message = format!("there is a volume '{}' already", volume.name());
            found.push(Told::at(C::Na2Twice, &volume.at, message));
        }
        let plain = volume.path.starts_with('/') && !volume.path.contains('$');
        let shown = volume.options.contains("nostat");
        if plain && !shown && case.host.is_folder(&volume.path) == Some(false) {
            let message = format!("the folder {} does not exist", volume.path);
            found.push(Told::at(C::Na2PathMissing, &volume.at, message));
        }
        told.extend(found.into_iter().map(|t| t.share(&volume.name())));
    }
}

/// How a line came out otherwise than it was meant.
fn slips(case: Case<'_>, volume: &Volume, told: &mut Vec<Told>) {
    let mut put = |code: C, message: String, fix: Option<String>| {
        let fix = fix.map(|line| Fix::replace(&volume.at, line));
        told.push(Told { fix, ..Told::at(code, &volume.at, message) });
    };
    if is_mangled(volume) {
        let right = plain(&volume.line);
        put(
            C::Typographic,
            "the line holds typographic quotes, dashes or no-break blanks".into(),
            Some(right),
        );
        return;
    }
    if volume.unclosed {
        put(C::Na2UnclosedQuote, "a quote is not closed".into(), None);
        return;
    }
    if let Some(right) = blank_in_path(case, volume) {
        put(C::Na2BlankInPath, format!("the path ends at the blank: {}", volume.path), Some(right));
        return;
    }
    let comment = volume.loose.iter().any(|w| w.text.starts_with('#') && !w.quoted);
    if comment {
        let (line, rest) = volume.line.split_once(" #").unwrap_or((&volume.line, ""));
        let right = format!("#{rest}\n{}", line.trim_end());
        put(C::Na2Comment, format!("the volume is called '{}'", volume.name()), Some(right));
    }
    let allow = allow(case, volume);
    let cut = allow.as_ref().is_some_and(|(_, cut)| *cut);
    if let Some((message, _)) = allow {
        let right = cut.then(|| volume.line.replace(", ", ","));
        put(C::Na2Allow, message, right);
    }
    let empty = volume.keys.iter().any(|k| k.value.is_empty() && !volume.loose.is_empty());
    if (volume.loose.len() > 1 || empty) && !comment && !cut {
        put(C::Na2LooseWord, format!("the volume is called '{}'", volume.name()), loose(volume));
    }
    for key in &volume.keys {
        if let Some((code, message, right)) = odd_key(key) {
            let right =
                right.map(|r| volume.line.replacen(&format!("{}:", key.key), &format!("{r}:"), 1));
            put(code, message, right);
        }
        if key.key == "options" && key.value.contains(';') {
            let right = volume.line.replace(&key.value, &key.value.replace(';', ","));
            put(
                C::Na2Separator,
                format!("`options:{}` is one option of that name", key.value),
                Some(right),
            );
        }
    }
}

/// Whether typographic characters stand where they are no part of a name.
fn is_mangled(volume: &Volume) -> bool {
    let any = |text: &str| text.chars().any(is_typographic);
    let ends = |text: &str| text.starts_with(is_typographic) || text.ends_with(is_typographic);
    volume.loose.iter().any(|w| if w.quoted { ends(&w.text) } else { any(&w.text) })
        || volume.keys.iter().any(|k| any(&k.key) || any(&k.value))
        || ends(&volume.path)
}

/// The line with its path in quotes, if a blank in it was not meant to end it.
fn blank_in_path(case: Case<'_>, volume: &Volume) -> Option<String> {
    let before: Vec<_> = volume.loose.iter().take_while(|w| w.after_keys == 0).collect();
    let escaped = volume.path.ends_with('\\');
    let words = before.iter().take_while(|w| !w.quoted).count();
    if words == 0 {
        return None;
    }
    let mut joined = volume.path.trim_end_matches('\\').to_owned();
    for word in before.iter().take(words) {
        joined.push(' ');
        joined.push_str(word.text.trim_end_matches('\\'));
    }
    let meant = match (case.host.is_folder(&volume.path), case.host.is_folder(&joined)) {
        (Some(true), _) => false,
        (Some(false), Some(true)) => true,
        // A name in quotes follows, so that these words can be none.
        _ => escaped || before.len() > words,
    };
    if !meant {
        return None;
    }
    let last = before.get(words - 1)?;
    let at = volume.line.find(&last.text)? + last.text.len();
    Some(format!("\"{joined}\"{}", volume.line.get(at..)?))
}

/// Options with the blanks taken out, if that is all.
fn loose(volume: &Volume) -> Option<String> {
    let mut line = volume.line.clone();
    for key in KEYS {
        line = line.replace(&format!("{key}: "), &format!("{key}:"));
    }
    while line.contains(", ") {
        line = line.replace(", ", ",");
    }
    // `options:usedots,upriv tm`
    let known = crate::server::netatalk::two::OPTIONS;
    let last = volume
        .loose
        .last()
        .filter(|w| w.after_keys > 0 && known.contains(&w.text.to_lowercase().as_str()));
    if let Some(word) = last {
        line = line.replacen(&format!(" {}", word.text), &format!(",{}", word.text), 1);
    }
    (line != volume.line).then_some(line)
}

/// What is wrong with `allow:`, and whether a blank cuts it.
fn allow(case: Case<'_>, volume: &Volume) -> Option<(String, bool)> {
    let value = volume.key("allow")?;
    if value.ends_with(',') || value.is_empty() && !volume.loose.is_empty() {
        return Some((
            format!("`allow:{value}` ends at the blank; who stands behind it is refused"),
            true,
        ));
    }
    let accounts = case.host.accounts.as_ref()?;
    for name in value.split(',').filter(|n| !n.is_empty()) {
        let group = name.strip_prefix(['@', '+']);
        let why = match group {
            Some(group) if !accounts.groups.contains_key(group) => {
                format!("there is no group {group}")
            }
            None if accounts.users.contains_key(name) => continue,
            None if accounts.groups.contains_key(name) => {
                return Some((
                    format!("`allow:` names {name}, a group, which needs an @ before it"),
                    false,
                ));
            }
            None => format!("there is no user {name}"),
            _ => continue,
        };
        if accounts.complete() {
            return Some((format!("`allow:`: {why}"), false));
        }
    }
    None
}

/// A word with a colon whose key nobody knows; what is meant.
fn odd_key(key: &Key) -> Option<(C, String, Option<&'static str>)> {
    if KEYS.contains(&key.key.as_str()) {
        return None;
    }
    let lower = key.key.to_lowercase();
    let meant = KEYS
        .iter()
        .copied()
        .find(|k| *k == lower)
        .or_else(|| nearest(&lower, KEYS.iter().copied()));
    Some(match meant {
        Some(meant) => {
            let message = format!("Netatalk knows no `{}:`; `{meant}:` may be meant", key.key);
            (C::Na2KeyCase, message, Some(meant))
        }
        None if key.quoted => {
            (C::Na2Colon, format!("'{}:{}' is taken for an option", key.key, key.value), None)
        }
        None => (C::Na2KeyCase, format!("Netatalk knows no `{}:`", key.key), None),
    })
}

fn limit(volume: &Volume) -> Option<Told> {
    if !volume.is_time_machine() {
        return None;
    }
    let Some(value) = &volume.limit else {
        let slip = volume.keys.iter().any(|k| k.key.to_lowercase().contains("limit"));
        let message = format!("the volume '{}' has no `volsizelimit`", volume.name());
        return (!slip && !volume.unclosed).then(|| Told::at(C::Na2NoLimit, &volume.at, message));
    };
    let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let wraps = leading_digits(value).is_none_or(|n| n > u64::from(u32::MAX));
    if digits && !wraps {
        return None;
    }
    let read = match (value.is_empty(), volume.limit_mib()) {
        (true, _) | (_, None) => "no limit".to_owned(),
        (_, Some(mib)) => format!("{mib} MiB"),
    };
    let told =
        Told::at(C::Na2Limit, &volume.at, format!("`volsizelimit:{value}` is read as {read}"));
    Some(match mebibytes_meant(value) {
        Some(mib) => {
            let (from, to) = (format!("volsizelimit:{value}"), format!("volsizelimit:{mib}"));
            told.fix(Fix::replace(&volume.at, volume.line.replace(&from, &to)))
        }
        None => told,
    })
}

fn advice(volume: &Volume) -> Vec<Told> {
    let mut told = Vec::new();
    let missing: Vec<&str> =
        ["upriv", "usedots"].into_iter().filter(|o| !volume.options.contains(*o)).collect();
    if volume.is_time_machine() && !missing.is_empty() {
        let message = format!(
            "the volume '{}' has no {} among its options",
            volume.name(),
            missing.join(", ")
        );
        told.push(Told::at(C::Na2Upriv, &volume.at, message));
    }
    if let Some(scheme) = volume.cnid.as_deref().filter(|s| !["dbd", "last", "tdb"].contains(s)) {
        let message = format!("`cnidscheme:{scheme}`");
        let right = volume.line.replace(&format!("cnidscheme:{scheme}"), "cnidscheme:dbd");
        let fix = (right != volume.line).then(|| Fix::replace(&volume.at, right));
        told.push(Told { fix, ..Told::at(C::Na2Cnid, &volume.at, message) });
    }
    told
}
