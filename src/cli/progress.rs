//! Progress on standard error: two lines on a terminal, nothing elsewhere.

use super::{output, stop, text};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmbundle::io::Meter;
use tmbundle::report::{Progress, Unit, present};

/// Work that takes less than this shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks at what was read, while nothing else is told.
const TICK: Duration = Duration::from_millis(250);

/// The bar that is on the terminal, for those who end the program.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);
/// How the terminal was before the first bar.
static TERMINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// While a bar is shown a `^C` that the terminal writes would push it up by a line, of which
/// nobody knows when it is removed.
fn hide_control_characters() {
    let mut before = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(found) = tcgetattr(std::io::stdin()) else { return };
    if before.is_none() && found.local_modes.contains(LocalModes::ECHOCTL) {
        let mut quiet = found.clone();
        quiet.local_modes.remove(LocalModes::ECHOCTL);
        if tcsetattr(std::io::stdin(), OptionalActions::Now, &quiet).is_ok() {
            *before = Some(found);
        }
    }
}

/// Leave the terminal as it was found.
fn restore_terminal() {
    if let Some(before) = TERMINAL.try_lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before);
    }
}

/// Remove the bar that is on the terminal, so that an ended program leaves no lines.
pub fn clear() {
    // Whoever holds the lock is drawing and ends with the program.
    if let Some(bar) = SHOWN.try_lock().ok().and_then(|mut shown| shown.take()) {
        bar.finish_and_clear();
    }
    restore_terminal();
}

/// Shows progress with indicatif: what is being done, and how far it is.
pub struct Bars {
    started: Instant,
    current: Mutex<Current>,
    hidden: bool,
    /// Counts what is read, where somebody counts.
    meter: Option<Arc<Meter>>,
}

#[derive(Default)]
struct Current {
    /// The bundle, of several.
    source: Option<String>,
    phase: Option<Phase>,
}

struct Phase {
    bar: ProgressBar,
    /// What it is called, and when the name behind it was changed last.
    message: String,
    named: Instant,
    shown: bool,
    beside: Arc<AtomicU64>,
}

impl Phase {
    /// Show it from now on, if enough time has passed.
    fn show(&mut self, started: Instant) {
        if !self.shown && started.elapsed() > PATIENCE {
            self.shown = true;
            hide_control_characters();
            *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.bar.clone());
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.enable_steady_tick(TICK);
        }
    }
}

impl Bars {
    /// Listen for signals; `quiet` shows no bar.
    pub fn new(quiet: bool) -> Self {
        stop::listen();
        let hidden = quiet || !output::is_terminal_stderr();
        Self { started: Instant::now(), current: Mutex::default(), hidden, meter: None }
    }

    /// Show the bytes this counts.
    pub fn with_meter(mut self, meter: Arc<Meter>) -> Self {
        self.meter = Some(meter);
        self
    }

    /// Name a source, the `n`th of `of`, before the phases to come.
    pub fn source(&self, name: &str, n: usize, of: usize) {
        let name = present(name);
        self.lock().source = (of > 1).then(|| format!("bundle {n} of {of} · {name}"));
    }

    /// Remove the lines.
    pub fn clear(&self) {
        if let Some(phase) = self.lock().phase.take() {
            phase.bar.finish_and_clear();
            SHOWN.lock().unwrap_or_else(PoisonError::into_inner).take();
            restore_terminal();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The two lines: phase; then bar, items, bytes, rate, time left, as far as known.
fn template(total: u64, unit: Unit, meter: bool) -> String {
    let (done, rate) = match unit {
        Unit::Bytes => ("{done}", "{rate}"),
        Unit::Items => ("{human_pos}", "{per_sec}"),
    };
    let whole = match unit {
        Unit::Bytes => "{whole}",
        Unit::Items => "{human_len}",
    };
    let mut parts = match total {
        0 => vec![done.to_owned()],
        _ => vec![format!("{{bar:20}} {done}/{whole}")],
    };
    match unit {
        Unit::Items if meter => parts.push("{read}".into()),
        Unit::Items => parts.push(rate.into()),
        Unit::Bytes => parts.extend(["{items}".to_owned(), rate.into()]),
    }
    parts.push(if total == 0 { "{elapsed}".into() } else { "{left}".into() });
    format!("{{wide_msg}}\n  {}", parts.join(" · "))
}

fn style(
    total: u64,
    unit: Unit,
    meter: Option<&Arc<Meter>>,
    beside: Arc<AtomicU64>,
) -> ProgressStyle {
    let text = template(total, unit, meter.is_some());
    let Ok(style) = ProgressStyle::with_template(&text) else {
        return ProgressStyle::default_bar();
    };
    let meter = meter.cloned();
    let before = meter.as_ref().map_or(0, |m| m.bytes());
    let items = beside.clone();
    let read = move |state: &ProgressState, out: &mut dyn Write| {
        let metered = meter.as_ref().map_or(0, |m| m.bytes() - before);
        // What nobody metered was told beside the items, or not at all.
        let bytes = metered.max(beside.load(Ordering::Relaxed));
        let rate = bytes as f64 / state.elapsed().as_secs_f64().max(0.001);
        let _ = write!(out, "{} · {}/s", text::bytes(bytes), text::bytes(rate as u64));
    };
    let items = move |_: &ProgressState, out: &mut dyn Write| {
        let n = items.load(Ordering::Relaxed);
        let _ = write!(out, "{}", text::plural(n, "item", "items"));
    };
    // Nothing is known of the time left before something is done.
    let left = |state: &ProgressState, out: &mut dyn Write| {
        let _ = match state.pos() {
            0 => write!(out, "…"),
            _ => write!(out, "{:#} left", HumanDuration(state.eta())),
        };
    };
    let done = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}", text::bytes(state.pos()));
    };
    let whole = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}", text::bytes(state.len().unwrap_or(0)));
    };
    let rate = |state: &ProgressState, out: &mut dyn Write| {
        let _ = write!(out, "{}/s", text::bytes(state.per_sec() as u64));
    };
    let style = style.with_key("done", done).with_key("whole", whole).with_key("rate", rate);
    style.with_key("read", read).with_key("items", items).with_key("left", left)
}

impl Progress for Bars {
    fn phase(&self, name: &str, total: u64, unit: Unit) {
        self.clear();
        if self.hidden {
            return;
        }
        let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
        bar.set_draw_target(ProgressDrawTarget::hidden());
        let beside = Arc::new(AtomicU64::new(0));
        bar.set_style(style(total, unit, self.meter.as_ref(), beside.clone()));
        let mut current = self.lock();
        let message = match &current.source {
            Some(source) => format!("{source} · {}", present(name)),
            None => present(name).into_owned(),
        };
        bar.set_message(message.clone());
        let mut phase = Phase { bar, message, named: Instant::now(), shown: false, beside };
        phase.show(self.started);
        current.phase = Some(phase);
    }

    fn advance(&self, n: u64) {
        if self.hidden {
            return;
        }
        if let Some(phase) = &mut self.lock().phase {
            phase.show(self.started);
            phase.bar.inc(n);
        }
    }

    fn beside(&self, n: u64) {
        if self.hidden {
            return;
        }
        if let Some(phase) = &self.lock().phase {
            phase.beside.fetch_add(n, Ordering::Relaxed);
        }
    }

    fn at(&self, name: &str) {
        if self.hidden {
            return;
        }
        if let Some(phase) = &mut self.lock().phase
            && phase.named.elapsed() >= TICK
        {
            phase.named = Instant::now();
            phase.bar.set_message(format!(
                "{} · {}",
                phase.message,
                tmbundle::report::present(name)
            ));
        }
    }

    fn saving(&self, now: bool) {
        stop::saving(now);
    }

    fn interrupted(&self) -> bool {
        stop::asked()
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_two_lines_that_can_be_drawn() {
        for (total, unit, meter, has) in [
            (9, Unit::Items, true, "{human_pos}/{human_len} · {read} · {left}"),
            (9, Unit::Bytes, true, "{done}/{whole} · {items} · {rate}"),
            (0, Unit::Items, false, "{human_pos} · {per_sec} · {elapsed}"),
            (0, Unit::Bytes, false, "{done} · {items} · {rate} · {elapsed}"),
        ] {
            let text = template(total, unit, meter);
            assert!(text.contains(has), "{text}");
            assert_eq!(text.lines().count(), 2);
            assert!(ProgressStyle::with_template(&text).is_ok());
        }
    }
}
