//! Names for people and terminals.

/// `name` with everything escaped that could mislead a terminal: control
/// characters, and the marks that reverse or hide text.
pub fn present(name: &str) -> std::borrow::Cow<'_, str> {
    if !name.chars().any(misleads) {
        return name.into();
    }
    let mut out = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if misleads(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.into()
}

fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::present;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(present("plain ä 漢.txt"), "plain ä 漢.txt");
        assert_eq!(present("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(present("exe\u{202e}gpj"), "exe\\u{202e}gpj");
    }
}
