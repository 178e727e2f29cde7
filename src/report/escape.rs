//! Text from a backup or a path, made fit to be read: on a terminal, in a log, in a mail.

use std::borrow::Cow;

/// `text` with everything escaped that could mislead a terminal or forge a line: control
/// characters (ESC, newlines, C1), line separators, and the marks that reverse or hide
/// text. A name is one word of one line afterwards.
pub fn present(text: &str) -> Cow<'_, str> {
    if !text.chars().any(misleads) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            c if misleads(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out.into()
}

/// Whether a character does something else than show itself. The ranges are those of
/// Unicode's categories Cc, Zl, Zp and, of Cf, what changes direction or is invisible.
pub fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}'
            | '\u{061C}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}'
            | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(present("plain ä 漢.txt"), "plain ä 漢.txt");
        assert_eq!(present("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(present("exe\u{202e}gpj"), "exe\\u{202e}gpj");
        assert_eq!(present("a\nNo damage.\r\t"), "a\\nNo damage.\\r\\t");
        assert_eq!(present("\u{9b}31m\u{2028}"), "\\u{9b}31m\\u{2028}");
    }

    proptest! {
        #[test]
        fn nothing_that_misleads_is_left(text in any::<String>()) {
            let shown = present(&text).into_owned();
            prop_assert!(!shown.chars().any(misleads), "{shown:?}");
            prop_assert_eq!(present(&shown), shown.as_str());
        }
    }
}
