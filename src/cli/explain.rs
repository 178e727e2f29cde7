//! `tmbundle explain`.

use super::args::ExplainArgs;
use super::output::{Exit, stdout};
use std::io::{self, Write};
use tmbundle::Error;
use tmbundle::report::{Code, FsckError, Maps};

pub fn run(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let mut out = stdout();
    match &args.code {
        None => list(&mut out)?,
        Some(name) => match (Code::by_name(name), FsckError::find(name)) {
            (Some(code), _) => {
                explain(&mut out, code)?;
                counterparts(&mut out, code)?;
            }
            (None, Some(error)) => explain_fsck(&mut out, error)?,
            (None, None) => {
                let text = format!("there is no code '{name}'; `tmbundle explain` lists them");
                return Err(Error::NotFound(text).into());
            }
        },
    }
    out.flush()?;
    Ok(Exit::Ok)
}

fn list(out: &mut impl Write) -> io::Result<()> {
    for code in Code::ALL {
        writeln!(out, "{code:24} {:8} {}", code.info().severity.as_str(), code.info().meaning)?;
    }
    Ok(())
}

fn explain(out: &mut impl Write, code: Code) -> io::Result<()> {
    let info = code.info();
    writeln!(out, "{code} ({})\n  {}\n  → {}", info.severity.as_str(), info.meaning, info.remedy)
}

fn counterparts(out: &mut impl Write, code: Code) -> io::Result<()> {
    let numbers: Vec<String> = code.info().fsck_hfs.iter().map(u16::to_string).collect();
    if !numbers.is_empty() {
        writeln!(out, "  nearest fsck_hfs errors: {}", numbers.join(", "))?;
    }
    let messages = code.info().apfs;
    if !messages.is_empty() {
        writeln!(out, "  nearest messages of apfsck or fsck_apfs: {}", messages.join("; "))?;
    }
    Ok(())
}

/// An error of Apple's fsck, and the findings that stand for it.
fn explain_fsck(out: &mut impl Write, error: &FsckError) -> io::Result<()> {
    writeln!(out, "fsck_hfs {} {}\n  {}", error.number, error.symbol, error.meaning)?;
    match error.maps {
        Maps::Reason(reason) => writeln!(out, "  No finding stands for it. {reason}"),
        Maps::Codes(codes) => {
            writeln!(out, "  tmbundle reports it as:")?;
            codes.iter().try_for_each(|code| explain(out, *code))
        }
    }
}
