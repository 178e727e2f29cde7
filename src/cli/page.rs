//! What people read: escaped, coloured, and wrapped between words at the terminal's width.
//!
//! Every text a person sees goes through [`Page::put`] or [`Page::row`], which escape it:
//! no name in a backup can make a line of its own or reach the terminal as a command. The
//! only control characters that leave here are our newlines and, on a terminal, colours.

use anstyle::{AnsiColor, Style};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use tmbundle::report::present;
use unicode_width::UnicodeWidthStr;

/// What a piece of text is; the colour says it a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Plain,
    /// A heading, the name of a bundle.
    Strong,
    Good,
    Warn,
    Bad,
    /// What few need.
    Faint,
}

impl Tone {
    fn style(self) -> Style {
        let of = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Good => of(AnsiColor::Green),
            Self::Warn => of(AnsiColor::Yellow),
            Self::Bad => of(AnsiColor::Red).bold(),
            Self::Faint => Style::new().dimmed(),
        }
    }
}

/// A paragraph: pieces of text, and how far its further lines are indented.
#[derive(Debug, Default, Clone)]
pub struct Text {
    pieces: Vec<(Tone, String)>,
    hang: usize,
}

/// A paragraph whose further lines begin at this column.
pub fn hanging(hang: usize) -> Text {
    Text { pieces: Vec::new(), hang }
}

impl Text {
    /// Add text as it is.
    pub fn plain(self, text: impl AsRef<str>) -> Self {
        self.tone(Tone::Plain, text)
    }

    /// Add text of some meaning.
    pub fn tone(mut self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.pieces.push((tone, present(text.as_ref()).into_owned()));
        self
    }
}

/// Writes paragraphs and rows to an output.
pub struct Page<W: Write> {
    out: W,
    colour: bool,
    /// Columns of the terminal, if it is one.
    width: Option<usize>,
}

/// Narrower than this nothing is wrapped: the words would stand in a column.
const NARROWEST: usize = 30;

/// Standard output.
pub fn stdout() -> Page<BufWriter<io::StdoutLock<'static>>> {
    let stdout = io::stdout();
    let (colour, width) = (colour(&stdout), width(&stdout));
    Page { out: BufWriter::with_capacity(1 << 16, stdout.lock()), colour, width }
}

/// Standard error.
pub fn stderr() -> Page<io::StderrLock<'static>> {
    let stderr = io::stderr();
    let (colour, width) = (colour(&stderr), width(&stderr));
    Page { out: stderr.lock(), colour, width }
}

/// Set while standard output is for a machine.
static DIVERTED: AtomicBool = AtomicBool::new(false);

/// From now on what [`main`] prints goes to standard error instead.
pub fn divert(diverted: bool) {
    DIVERTED.store(diverted, Ordering::Relaxed);
}

/// Where a command's words go: standard output, unless they were diverted.
pub fn main() -> Page<Box<dyn Write>> {
    if DIVERTED.load(Ordering::Relaxed) {
        let Page { out, colour, width } = stderr();
        return Page { out: Box::new(out), colour, width };
    }
    let Page { out, colour, width } = stdout();
    Page { out: Box::new(out), colour, width }
}

/// Whether to colour: `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM` count.
fn colour(stream: &impl anstream::stream::RawStream) -> bool {
    anstream::AutoStream::choice(stream) != anstream::ColorChoice::Never
}

fn width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let told = rustix::termios::tcgetwinsize(stream).map_or(0, |size| size.ws_col);
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    Some(usize::from(if told > 0 { told } else { columns().unwrap_or(80) }))
}

impl<W: Write> Page<W> {
    /// Write a paragraph.
    pub fn put(&mut self, text: Text) -> io::Result<()> {
        let Some(width) = self.width.filter(|width| *width >= NARROWEST) else {
            for (tone, piece) in &text.pieces {
                self.piece(*tone, piece)?;
            }
            return writeln!(self.out);
        };
        // Deep indentation would leave no room for words.
        let hang = if text.hang > width / 2 { 4 } else { text.hang };
        self.wrapped(&text.pieces, hang, width)
    }

    /// Write one line of a list or table, which is never wrapped.
    pub fn row(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", present(text.as_ref()))
    }

    /// Write what was buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn piece(&mut self, tone: Tone, text: &str) -> io::Result<()> {
        if self.colour && tone != Tone::Plain && !text.trim().is_empty() {
            let style = tone.style();
            write!(self.out, "{style}{text}{style:#}")
        } else {
            write!(self.out, "{text}")
        }
    }

    /// Lines break where there are blanks; a word that is longer than a line stays whole,
    /// so that a path can be copied.
    fn wrapped(&mut self, pieces: &[(Tone, String)], hang: usize, width: usize) -> io::Result<()> {
        let (mut column, mut blanks, mut words) = (0, 0, 0);
        for word in words_of(pieces) {
            let (gap, long) = (word.blanks, word.width());
            let glued = gap == 0 && words > 0;
            if words > 0 && !glued && column + gap + long > width {
                writeln!(self.out)?;
                (column, blanks) = (0, hang);
            } else {
                blanks += gap;
            }
            write!(self.out, "{:blanks$}", "")?;
            for (tone, part) in &word.parts {
                self.piece(*tone, part)?;
            }
            column += blanks + long;
            (blanks, words) = (0, words + 1);
        }
        writeln!(self.out)
    }
}

/// What lies between two blanks, perhaps in several tones, and the blanks before it.
#[derive(Default)]
struct Word<'a> {
    blanks: usize,
    parts: Vec<(Tone, &'a str)>,
}

impl Word<'_> {
    fn width(&self) -> usize {
        self.parts.iter().map(|(_, part)| part.width()).sum()
    }
}

fn words_of(pieces: &[(Tone, String)]) -> Vec<Word<'_>> {
    let mut words = vec![Word::default()];
    for (tone, piece) in pieces {
        let mut rest = piece.as_str();
        while !rest.is_empty() {
            let text = rest.trim_start_matches(' ');
            let blanks = rest.len() - text.len();
            let end = text.find(' ').unwrap_or(text.len());
            let begun = words.last().is_some_and(|w| !w.parts.is_empty());
            if blanks > 0 && begun {
                words.push(Word::default());
            }
            if let Some(word) = words.last_mut() {
                word.blanks += blanks;
                if end > 0 {
                    word.parts.push((*tone, &text[..end]));
                }
            }
            rest = &text[end..];
        }
    }
    words.retain(|w| !w.parts.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(colour: bool, width: Option<usize>, text: Text) -> String {
        let mut page = Page { out: Vec::new(), colour, width };
        page.put(text).unwrap();
        String::from_utf8(page.out).unwrap()
    }

    #[test]
    fn lines_break_between_words_and_hang() {
        let text = || hanging(4).plain("  a word and another, and a-rather-long-one-at-the-end ok");
        let lines = "  a word and another, and\n    a-rather-long-one-at-the-end\n    ok\n";
        assert_eq!(written(false, Some(30), text()), lines);
        assert_eq!(written(false, None, text()).lines().count(), 1);
        // What touches is one word, whatever its tones.
        let glued =
            hanging(2).plain("0123456789 0123456789 ").tone(Tone::Bad, "01").plain("23456789");
        assert_eq!(written(false, Some(30), glued), "0123456789 0123456789\n  0123456789\n");
    }

    #[test]
    fn columns_keep_their_blanks() {
        let row = hanging(0).plain("  volume      ").tone(Tone::Good, "ok").plain("       HFSX");
        assert_eq!(written(false, Some(80), row), "  volume      ok       HFSX\n");
    }

    #[test]
    fn colour_is_a_second_saying() {
        let text = hanging(0).tone(Tone::Bad, "DAMAGE").plain(" here");
        assert_eq!(written(true, None, text.clone()), "\x1b[1m\x1b[31mDAMAGE\x1b[0m here\n");
        assert_eq!(written(false, None, text), "DAMAGE here\n");
    }

    proptest! {
        #[test]
        fn only_our_newline_and_no_line_too_wide(text in any::<String>(), width in 30usize..90) {
            let shown = written(false, Some(width), hanging(2).plain(&text));
            prop_assert!(shown.ends_with('\n'));
            for line in shown.lines() {
                prop_assert!(!line.chars().any(tmbundle::report::misleads));
                let words = line.split_whitespace().count();
                prop_assert!(line.width() <= width || words <= 1, "{line:?}");
            }
            let words = |t: &str| t.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&shown.replace('\n', " ")), words(&present(&text)));
        }
    }
}
