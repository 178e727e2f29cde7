//! `tmbundle explain`.

use super::args::ExplainArgs;
use super::output::Exit;
use super::page::{self, Page, Tone, hanging};
use std::io::{self, Write};
use tmbundle::Error;
use tmbundle::report::{Code, FsckError, Maps, Rule, Severity};

pub fn run(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let mut out = page::stdout();
    match &args.code {
        None => list(&mut out)?,
        Some(name) => match (Code::by_name(name), FsckError::find(name)) {
            (Some(code), _) => {
                explain(&mut out, code)?;
                consequence(&mut out, code)?;
                counterparts(&mut out, code)?;
            }
            (None, Some(error)) => explain_fsck(&mut out, error)?,
            (None, None) if Rule::by_name(name).is_some() => {
                Rule::by_name(name).map_or(Ok(()), |rule| explain_rule(&mut out, rule))?;
            }
            (None, None) => {
                let text = format!("there is no code '{name}'; `tmbundle explain` lists them");
                return Err(Error::NotFound(text).into());
            }
        },
    }
    out.flush()?;
    Ok(Exit::Ok)
}

/// The tone in which a severity is told.
fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Damage => Tone::Bad,
        Severity::Warning => Tone::Warn,
        Severity::Info => Tone::Faint,
    }
}

fn list(out: &mut Page<impl Write>) -> io::Result<()> {
    for code in Code::all() {
        let info = code.info();
        let severity = format!("{:8}", info.severity.as_str());
        let text = hanging(34).plain(format!("{code:24} ")).tone(tone(info.severity), severity);
        out.put(text.plain(format!(" {}", info.meaning)))?;
    }
    Ok(())
}

fn explain(out: &mut Page<impl Write>, code: Code) -> io::Result<()> {
    let info = code.info();
    let severity = info.severity;
    let head = hanging(2).tone(Tone::Strong, code.to_string()).plain(" (");
    out.put(head.tone(tone(severity), severity.as_str()).plain(")"))?;
    out.put(hanging(2).plain(format!("  {}", info.meaning)))?;
    out.put(hanging(4).plain(format!("  → {}", info.remedy)))
}

/// What a Mac would do, and the page that helps.
fn consequence(out: &mut Page<impl Write>, code: Code) -> io::Result<()> {
    let told = code.consequence();
    if !matches!(code, Code::Server(_)) {
        out.put(hanging(4).plain(format!("  a Mac: {}", told.mac)))?;
    }
    out.put(hanging(4).plain(format!("  page: docs/{}", told.page)))
}

fn counterparts(out: &mut Page<impl Write>, code: Code) -> io::Result<()> {
    let numbers: Vec<String> = code.info().fsck_hfs.iter().map(u16::to_string).collect();
    if !numbers.is_empty() {
        let numbers = numbers.join(", ");
        out.put(hanging(4).plain(format!("  nearest fsck_hfs errors: {numbers}")))?;
    }
    let messages = code.info().apfs;
    if !messages.is_empty() {
        let messages = messages.join("; ");
        let text = format!("  nearest messages of apfsck or fsck_apfs: {messages}");
        out.put(hanging(4).plain(text))?;
    }
    Ok(())
}

/// A rule of APFS, and the finding that tells when it is broken.
fn explain_rule(out: &mut Page<impl Write>, rule: Rule) -> io::Result<()> {
    let severity = rule.severity();
    let head = hanging(2).tone(Tone::Strong, rule.name()).plain(" (");
    out.put(head.tone(tone(severity), severity.as_str()).plain(")"))?;
    out.put(hanging(2).plain(format!("  On a sound APFS volume: {}.", rule.holds())))?;
    out.row("  Where it is not so, tmbundle reports:")?;
    explain(out, rule.code())
}

/// An error of Apple's fsck, and the findings that stand for it.
fn explain_fsck(out: &mut Page<impl Write>, error: &FsckError) -> io::Result<()> {
    out.row(format!("fsck_hfs {} {}", error.number, error.symbol))?;
    out.put(hanging(2).plain(format!("  {}", error.meaning)))?;
    match error.maps {
        Maps::Reason(reason) => {
            out.put(hanging(2).plain(format!("  No finding stands for it. {reason}")))
        }
        Maps::Codes(codes) => {
            out.row("  tmbundle reports it as:")?;
            codes.iter().try_for_each(|code| explain(out, *code))
        }
    }
}
