//! Where the log goes: standard error at first, then, for a program that has left
//! its terminal, a file or the system's log.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

static TARGET: Mutex<Target> = Mutex::new(Target::Stderr);

enum Target {
    Stderr,
    File(File),
    Syslog(UnixDatagram),
    Nowhere,
}

/// Facility daemon, severity warning.
const PRIORITY: u32 = 3 << 3 | 4;

/// Log to standard error from now on.
pub fn to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TMBUNDLE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,fuser=error"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Sink)
        .with_target(false)
        // What is logged is escaped as a whole, by the sink.
        .with_ansi(false)
        .finish();
    // A second call finds it set already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Log to the end of a file from now on.
pub fn to_file(path: &Path) -> io::Result<()> {
    let file = File::options().create(true).append(true).open(path)?;
    set(Target::File(file));
    Ok(())
}

/// Log to the system's log from now on, if there is one.
pub fn to_syslog() {
    let connect = || {
        let socket = UnixDatagram::unbound()?;
        socket.connect("/dev/log")?;
        io::Result::Ok(socket)
    };
    set(connect().map_or(Target::Nowhere, Target::Syslog));
}

fn set(target: Target) {
    *TARGET.lock().unwrap_or_else(PoisonError::into_inner) = target;
}

/// Writes a line to the target of the moment; what is in it makes no line of its own.
struct Sink;

/// A record as it may be written: one line, escaped, with the newline that ends it.
fn escaped(record: &[u8]) -> String {
    let text = String::from_utf8_lossy(record.strip_suffix(b"\n").unwrap_or(record));
    format!("{}\n", tmbundle::report::present(&text))
}

impl Write for Sink {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let line = escaped(record);
        let line = line.as_bytes();
        match &mut *TARGET.lock().unwrap_or_else(PoisonError::into_inner) {
            Target::Stderr => io::stderr().write_all(line)?,
            Target::File(file) => file.write_all(line)?,
            Target::Syslog(socket) => {
                let id = std::process::id();
                let mut message = format!("<{PRIORITY}>tmbundle[{id}]: ").into_bytes();
                message.extend(line.trim_ascii_end());
                // A log that is full or gone must not stop the mount.
                let _ = socket.send(&message);
            }
            Target::Nowhere => {}
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(
            escaped(b"WARN bad\x1b[2J\nINFO forged\n"),
            "WARN bad\\u{1b}[2J\\nINFO forged\n"
        );
        assert_eq!(escaped(b"\x9b1m\n"), "\u{fffd}1m\n");
    }
}
