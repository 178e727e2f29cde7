//! `tmbundle explain`.

use super::args::ExplainArgs;
use super::output::{Exit, stdout};
use std::io::Write;
use tmbundle::Error;
use tmbundle::report::Code;

pub fn run(args: &ExplainArgs) -> anyhow::Result<Exit> {
    let mut out = stdout();
    let Some(name) = &args.code else {
        for code in Code::ALL {
            writeln!(out, "{code:24} {:8} {}", code.info().severity.as_str(), code.info().meaning)?;
        }
        out.flush()?;
        return Ok(Exit::Ok);
    };
    let code = Code::by_name(name).ok_or_else(|| {
        Error::NotFound(format!("there is no code '{name}'; `tmbundle explain` lists them"))
    })?;
    let info = code.info();
    writeln!(out, "{code} ({})\n  {}\n  → {}", info.severity.as_str(), info.meaning, info.remedy)?;
    if !info.fsck.is_empty() {
        let numbers: Vec<String> = info.fsck.iter().map(u16::to_string).collect();
        writeln!(out, "  nearest fsck_hfs errors: {}", numbers.join(", "))?;
    }
    out.flush()?;
    Ok(Exit::Ok)
}
