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
    pieces: Vec<Piece>,
    hang: usize,
}

#[derive(Debug, Clone)]
struct Piece {
    tone: Tone,
    text: String,
    /// Never broken: an address or a name, to be copied as a whole.
    solid: bool,
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
    pub fn tone(self, tone: Tone, text: impl AsRef<str>) -> Self {
        self.add(tone, text.as_ref(), false)
    }

    /// Add an address or a name, which stays in one line so that it can be copied.
    pub fn solid(self, text: impl AsRef<str>) -> Self {
        self.add(Tone::Plain, text.as_ref(), true)
    }

    fn add(mut self, tone: Tone, text: &str, solid: bool) -> Self {
        self.pieces.push(Piece { tone, text: present(text).into_owned(), solid });
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

/// Held in memory for a later standard output that is no terminal.
pub fn held() -> Page<Vec<u8>> {
    Page { out: Vec::new(), colour: colour(&io::stdout()), width: None }
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
            for piece in &text.pieces {
                self.piece(piece.tone, &piece.text)?;
            }
            return writeln!(self.out);
        };
        // Deep indentation would leave no room for words.
        let hang = if text.hang > width * 3 / 4 { 4 } else { text.hang };
        for line in lines(&text.pieces, hang, width) {
            for (tone, part) in &line {
                self.piece(*tone, part)?;
            }
            writeln!(self.out)?;
        }
        Ok(())
    }

    /// Columns of the terminal, if it is one.
    pub fn width(&self) -> Option<usize> {
        self.width
    }

    /// Write one line of a list or table, which is never wrapped.
    pub fn row(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", present(text.as_ref()))
    }

    /// Write what another page holds.
    pub fn page(&mut self, held: &Page<Vec<u8>>) -> io::Result<()> {
        self.out.write_all(&held.out)
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
}

/// A line: runs of one tone.
type Line = Vec<(Tone, String)>;

/// Break where there are blanks. A word that is longer than a line stays whole, so that a
/// path can be copied.
fn lines(pieces: &[Piece], hang: usize, width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = vec![Line::new()];
    let mut column = 0;
    let put = |lines: &mut Vec<Line>, tone: Tone, text: &str| {
        let Some(line) = lines.last_mut() else { return };
        match line.last_mut() {
            Some((last, run)) if *last == tone => run.push_str(text),
            _ => line.push((tone, text.to_owned())),
        }
    };
    for (n, word) in words_of(pieces, width.saturating_sub(hang)).iter().enumerate() {
        let (mut gap, long) = (word.blanks, word.width());
        if n > 0 && gap > 0 && column + gap + long > width {
            lines.push(Line::new());
            // What is too long for the column stands as far to the left as it may.
            (column, gap) = (0, if hang + long > width { hang.min(4) } else { hang });
        }
        // Blanks between two words of one tone are of that tone, too.
        let last = lines.last().and_then(|line| line.last()).map(|(tone, _)| *tone);
        let first = word.parts.first().map(|(tone, _)| *tone);
        let tone = last.filter(|last| Some(*last) == first).unwrap_or(Tone::Plain);
        put(&mut lines, tone, &" ".repeat(gap));
        for (tone, part) in &word.parts {
            put(&mut lines, *tone, part);
        }
        column += gap + long;
    }
    lines
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

/// What is quoted, and whatever touches it, is one word where it fits into a line: names have
/// blanks in them. Gives where it ends.
fn quoted(text: &str, room: usize) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let closes = |at: &usize| {
        let rest = inner.get(at + 1..).unwrap_or_default();
        rest.is_empty() || rest.starts_with([' ', ',', ';', ':', '.', ')', '?', '!'])
    };
    let close = inner.match_indices('\'').map(|(at, _)| at).find(closes)? + 2;
    let end = text[close..].find(' ').map_or(text.len(), |more| close + more);
    (text[..end].width() <= room).then_some(end)
}

fn words_of(pieces: &[Piece], room: usize) -> Vec<Word<'_>> {
    let mut words = vec![Word::default()];
    for piece in pieces {
        let mut rest = piece.text.as_str();
        while !rest.is_empty() {
            let text = rest.trim_start_matches(' ');
            let blanks = rest.len() - text.len();
            let end = match piece.solid {
                true => None,
                false => quoted(text, room).or_else(|| text.find(' ')),
            };
            let end = end.unwrap_or(text.len());
            let begun = words.last().is_some_and(|w| !w.parts.is_empty());
            if blanks > 0 && begun {
                words.push(Word::default());
            }
            if let Some(word) = words.last_mut() {
                word.blanks += blanks;
                if end > 0 {
                    word.parts.push((piece.tone, &text[..end]));
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
        // An address stays in one line.
        let address = hanging(2).plain("in one of these: ").solid("latest:/Macintosh HD/Users");
        let lines = "in one of these:\n  latest:/Macintosh HD/Users\n";
        assert_eq!(written(false, Some(30), address), lines);
        // So does a name in a text.
        let name = hanging(2).plain("the file 'bands/9 (conflicted copy)', Anna's, may be it");
        let lines = "the file\n  'bands/9 (conflicted copy)',\n  Anna's, may be it\n";
        assert_eq!(written(false, Some(30), name), lines);
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
        let text = hanging(0).plain("a ").tone(Tone::Bad, "1 damaged");
        assert_eq!(written(true, Some(80), text), "a \x1b[1m\x1b[31m1 damaged\x1b[0m\n");
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
