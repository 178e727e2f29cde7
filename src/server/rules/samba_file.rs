//! What is wrong with the lines of `smb.conf`, whatever they mean.

use super::{Case, like};
use crate::report::{ServerCode as C, Severity};
use crate::server::samba::keys::{self, Kind};
use crate::server::samba::{Remark, Samba, Setting, value};
use crate::server::text::{is_typographic, plain};
use crate::server::{Fix, Told};

pub(super) fn rules(case: Case<'_>, samba: &Samba, told: &mut Vec<Told>) {
    let asked = case.host.testparm.as_ref();
    told.extend(refused(case, samba));
    samba.remarks.iter().for_each(|r| told.extend(remark(r)));
    for set in &samba.lines {
        // The Samba at hand may know words that are not known here.
        if asked.is_none_or(|t| !t.loads) {
            told.extend(fatal(set));
        }
        let knows = asked.is_some_and(|t| {
            !t.unknown.iter().any(|u| keys::compact(u) == keys::compact(&set.written))
        });
        if !knows || set.key.contains(':') {
            told.extend(unknown(set));
        }
        told.extend(comment(set));
        told.extend(typographic(set));
        told.extend(escaped(set));
        told.extend(ineffective(set));
    }
}

/// Samba does not take the file, and nothing here says why.
fn refused(case: Case<'_>, samba: &Samba) -> Option<Told> {
    let asked = case.host.testparm.as_ref().filter(|t| !t.loads)?;
    if samba.is_fatal() || samba.has_registry() {
        return None;
    }
    let says = asked.says.as_deref().unwrap_or("Error loading services");
    let message = format!("testparm does not take the file: {says}");
    Some(match complained_of(samba, says) {
        Some(set) => Told::at(C::ConfFatal, &set.at, message),
        None => Told::path(C::ConfFatal, &samba.path, message),
    })
}

/// The line that a complaint of testparm is about: it names the option, its value or both, and
/// ends at the first.
fn complained_of<'a>(samba: &'a Samba, says: &str) -> Option<&'a Setting> {
    let within = |begin: &str, end: &str| Some(says.split_once(begin)?.1.rsplit_once(end)?.0);
    let name = within("for parameter '", "'").map(|name| keys::canonical(name).0);
    let value = match says.split_once(" value '") {
        Some((_, rest)) => rest.split_once("' for parameter").map(|(value, _)| value),
        None => within("set_variable_helper(", "): "),
    };
    let fits = |set: &&Setting| {
        let held = |v: &str| set.value == v || value::list(&set.value).iter().any(|i| i == v);
        name.as_ref().is_none_or(|n| *n == set.key) && value.is_none_or(held)
    };
    (name.is_some() || value.is_some()).then(|| samba.lines.iter().find(fits)).flatten()
}

fn remark(remark: &Remark) -> Option<Told> {
    Some(match remark {
        Remark::NoBracket(at, name) => {
            let name = name.split(['=', '#', ';']).next().unwrap_or("").trim();
            Told::at(C::ConfFatal, at, format!("the name of the share '{name}' has no closing bracket; smbd does not start"))
                .fix(Fix::replace(at, format!("[{name}]")))
        }
        Remark::NoSource(at, name) => Told::at(
            C::ConfFatal,
            at,
            format!("there is no share '{name}' before this that could be copied; smbd does not start"),
        ),
        Remark::NoEquals { at, text, after } => no_equals(at, text, after.as_ref()),
        Remark::NoInclude(at, path) => {
            Told::at(C::ConfIncludeMissing, at, format!("the included file {path} does not exist"))
        }
        Remark::Unread(at, path, why) => Told::at(
            C::ConfIncludeMissing,
            at,
            format!("the included file {path} could not be read: {why}"),
        ),
        Remark::Registry(at) => Told::at(C::ConfRegistry, at, "more shares may stand in Samba's registry"),
        Remark::Twice { at, name, first, lost } => twice(at, name, first.as_ref(), lost),
        Remark::NameBlank(at, name) => Told::at(
            C::NameBlank,
            at,
            format!("the share's name is '{name}', with a blank at its end, and so another share than '{}'", name.trim()),
        )
        .share(name)
        .fix(Fix::replace(at, format!("[{}]", name.trim()))),
    })
}

fn no_equals(at: &crate::server::text::At, text: &str, after: Option<&Setting>) -> Told {
    // Of a line that was to set something, with a dash for the sign of equality.
    if text.chars().any(is_typographic) {
        let fixed = equals_for_dash(text);
        return Told::at(
            C::Typographic,
            at,
            format!("'{text}' has no `=` but something typographic; Samba passes over it"),
        )
        .fix(Fix::replace(at, like(text, &fixed)));
    }
    let rest =
        after.filter(|set| text.len() < 200 && !text.contains('[') && set.at.file == at.file);
    let of_tm = rest.is_some_and(|s| s.key.starts_with("fruit:") || s.key == "vfsobjects");
    let message = match rest {
        Some(set) => format!(
            "'{text}' has no `=` and is passed over; it may belong to `{}` before it",
            set.written
        ),
        None => format!("'{text}' has no `=` and is passed over"),
    };
    let severity = if of_tm { Severity::Damage } else { Severity::Warning };
    let told = Told::at(C::LineIgnored, at, message).severity(severity);
    match rest {
        Some(set) if set.at.line + 1 == at.line => {
            told.fix(Fix::replace(at, format!("{} {text}", set.line.trim_end())))
        }
        _ => told,
    }
}

/// `key – value` as it was meant.
fn equals_for_dash(text: &str) -> String {
    let dash = |c: char| matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}');
    match text.split_once(dash) {
        Some((key, value)) => format!("{} = {}", plain(key).trim(), plain(value).trim()),
        None => plain(text),
    }
}

fn twice(
    at: &crate::server::text::At,
    name: &str,
    first: Option<&crate::server::text::At>,
    lost: &[Setting],
) -> Told {
    let first = first.map(|f| format!(" in {f}")).unwrap_or_default();
    if lost.is_empty() {
        return Told::at(C::ShareTwice, at, format!("the share {name} was begun before{first}"))
            .share(name)
            .severity(Severity::Warning);
    }
    let names: Vec<String> =
        lost.iter().map(|s| format!("{} (line {})", s.written, s.at.line)).collect();
    Told::at(
        C::ShareTwice,
        at,
        format!("the share {name} was begun before{first}; Samba forgets {}", names.join(", ")),
    )
    .share(name)
}

fn fatal(set: &Setting) -> Option<Told> {
    if !keys::refuses(&set.key, &set.value) {
        return None;
    }
    let bare = value::comment(&set.value).map(|(bare, _)| bare).filter(|b| !b.is_empty());
    let (must, right) = match keys::known(&set.key)?.kind {
        Kind::Words(words) => {
            let right = bare.filter(|b| words.split('|').any(|w| w.eq_ignore_ascii_case(b)));
            (format!("must be one of {}", words.replace('|', ", ")), right.map(str::to_owned))
        }
        Kind::List(words) => {
            (format!("must be a list of {}", words.replace('|', ", ")), bare.map(str::to_owned))
        }
        Kind::Ports => ("must be numbers of ports".to_owned(), bare.map(str::to_owned)),
        Kind::PortRange => {
            ("must be two ports from 1024 on, like 49152-65535".to_owned(), bare.map(str::to_owned))
        }
        Kind::Octal => ("must be an octal number".to_owned(), bare.map(str::to_owned)),
        Kind::Size => (
            "must be a number, with K, M, G, T or P or nothing behind it".to_owned(),
            bare.map(str::to_owned),
        ),
        Kind::Free | Kind::Boolean => (
            "must be yes or no".to_owned(),
            bare.map_or_else(|| yes_or_no(&set.value), |b| Some(b.to_owned())),
        ),
    };
    let why = if bare.is_some() { "; a comment must stand in a line of its own" } else { "" };
    let told = Told::at(
        C::ConfFatal,
        &set.at,
        format!("`{}` is '{}' and {must}{why}; smbd does not start", set.written, set.value),
    );
    Some(match right {
        Some(right) => told.fix(replaced(set, &right)),
        None => told,
    })
}

/// What was meant by a word that is no boolean.
pub(super) fn yes_or_no(text: &str) -> Option<String> {
    let bare = plain(text).to_lowercase();
    let bare = bare.trim_matches(|c: char| !c.is_alphanumeric());
    let first = bare.split_whitespace().next().unwrap_or("");
    let word = match first {
        "yes" | "true" | "on" | "1" | "ja" | "oui" | "si" | "y" | "enable" | "enabled" => "yes",
        "no" | "false" | "off" | "0" | "nein" | "non" | "n" | "disable" | "disabled" => "no",
        _ => return None,
    };
    Some(word.to_owned())
}

/// The line with another value.
pub(super) fn replaced(set: &Setting, value: &str) -> Fix {
    Fix::replace(&set.at, like(&set.line, &format!("{} = {value}", set.written)))
}

fn unknown(set: &Setting) -> Option<Told> {
    if ineffective_option(&set.key).is_some() || set.written.chars().any(is_typographic) {
        return None;
    }
    let meant = match set.key.split_once(':') {
        Some(("fruit", _)) => keys::fruit_meant(&set.key).map(|name| format!("fruit:{name}"))?,
        Some(_) => return None,
        None if keys::known(&set.key).is_some() => return None,
        None => match keys::meant(&set.key) {
            Some(meant) => meant,
            None => {
                return Some(Told::at(
                    C::ConfUnknownKey,
                    &set.at,
                    format!("Samba knows no option `{}`", set.written),
                ));
            }
        },
    };
    let grave = keys::compact(&meant).starts_with("fruit:timemachine");
    let told = Told::at(
        C::ConfUnknownKey,
        &set.at,
        format!("Samba knows no option `{}`; `{meant}` may be meant", set.written),
    )
    .fix(Fix::replace(&set.at, like(&set.line, &format!("{meant} = {}", set.value))));
    Some(if grave { told.severity(Severity::Damage) } else { told })
}

/// Options in which `#` and `;` mean something else than a comment's beginning.
fn is_free_text(key: &str) -> bool {
    [
        "comment",
        "serverstring",
        "netbiosname",
        "volume",
        "password",
        "command",
        "exec",
        "script",
        "program",
        "prefix",
        "logonpath",
        "usernamemap",
        "vetofiles",
        "hidefiles",
        "message",
        "name",
    ]
    .iter()
    .any(|word| key.contains(word))
}

/// Whether an option's value is of a kind in which nothing odd belongs.
fn is_strict(key: &str) -> bool {
    match keys::known(key) {
        Some(known) => {
            known.kind != Kind::Free
                || [
                    "path",
                    "vfsobjects",
                    "validusers",
                    "readlist",
                    "writelist",
                    "invalidusers",
                    "include",
                    "copy",
                ]
                .contains(&key)
                || key.ends_with("mask")
                || key.contains("size")
        }
        None => key.starts_with("fruit:"),
    }
}

fn comment(set: &Setting) -> Option<Told> {
    if is_free_text(&set.key) || !is_strict(&set.key) {
        return None;
    }
    let (bare, comment) = value::comment(&set.value)?;
    // In a list of users nothing but a comment begins so; in a path a name may.
    let told = Told::at(
        C::CommentInValue,
        &set.at,
        format!("the value of `{}` is '{}': the comment belongs to it", set.written, set.value),
    );
    let line = like(&set.line, comment);
    Some(told.fix(Fix::Replace {
        file: set.at.file.to_string(),
        line: set.at.line,
        text: format!("{line}\n{}", like(&set.line, &format!("{} = {bare}", set.written))),
    }))
}

fn typographic(set: &Setting) -> Option<Told> {
    let in_name = set.written.chars().any(is_typographic);
    let quoted = || set.value.starts_with(is_typographic) || set.value.ends_with(is_typographic);
    let in_value =
        is_strict(&set.key) && set.key != "path" && set.value.chars().any(is_typographic)
            || set.key == "path" && quoted();
    if !in_name && !in_value {
        return None;
    }
    let what = if in_name { "the name of the option" } else { "the value" };
    let told = Told::at(
        C::Typographic,
        &set.at,
        format!(
            "{what} of `{}` holds typographic quotes, dashes or no-break blanks",
            plain(&set.written).trim()
        ),
    );
    let value = plain(&set.value);
    let value = if set.key == "path" { value } else { value.replace(['"', '\''], "") };
    let line = format!("{} = {}", plain(&set.written).trim(), value.trim());
    Some(told.fix(Fix::replace(&set.at, like(&set.line, &line))))
}

fn escaped(set: &Setting) -> Option<Told> {
    let text = format!("{} = {}", set.written, set.value);
    let marks = ["\\_", "\\*", "\\-", "&quot;", "&amp;", "&lt;", "&gt;", "&nbsp;"];
    if is_free_text(&set.key) || !marks.iter().any(|m| text.contains(m)) {
        return None;
    }
    let told = Told::at(C::Escaped, &set.at, format!("`{text}` is escaped as in a web page"));
    Some(told.fix(Fix::replace(&set.at, like(&set.line, &unescaped(&text)))))
}

/// Without a web page's escapes.
pub(super) fn unescaped(text: &str) -> String {
    let mut out = text.to_owned();
    for (from, to) in [
        ("\\_", "_"),
        ("\\*", "*"),
        ("\\-", "-"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        out = out.replace(from, to);
    }
    out
}

/// Why an option does nothing, if it never did or no longer does.
fn ineffective_option(key: &str) -> Option<&'static str> {
    match key {
        "fruit:advertise_fullsync" => Some("Samba never had it"),
        "fruit:ressource" => Some("Samba has it no longer; it is `fruit:resource`"),
        _ => None,
    }
}

fn ineffective(set: &Setting) -> Option<Told> {
    if let Some(why) = ineffective_option(&set.key) {
        return Some(
            Told::at(C::Ineffective, &set.at, format!("`{}` does nothing: {why}", set.written))
                .fix(Fix::remove(&set.at)),
        );
    }
    let slow = set.key == "socketoptions"
        && ["so_rcvbuf", "so_sndbuf"].iter().any(|o| set.value.to_lowercase().contains(o));
    if !slow {
        return None;
    }
    let keep: Vec<&str> = set
        .value
        .split_whitespace()
        .filter(|w| {
            !w.to_lowercase().starts_with("so_rcvbuf") && !w.to_lowercase().starts_with("so_sndbuf")
        })
        .collect();
    let fix = if keep.is_empty() { Fix::remove(&set.at) } else { replaced(set, &keep.join(" ")) };
    Some(
        Told::at(
            C::Ineffective,
            &set.at,
            "fixed buffers in `socket options` make today's Linux slower",
        )
        .fix(fix),
    )
}
