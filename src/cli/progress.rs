//! Progress on standard error: a bar on a terminal, nothing elsewhere; and the
//! wish to stop, from the keyboard or a signal.

use super::stop;
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmbundle::report::{Progress, Unit};

/// Work that takes less than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows progress with indicatif.
pub struct Bars {
    started: Instant,
    current: Mutex<Option<Phase>>,
    hidden: bool,
}

struct Phase {
    bar: ProgressBar,
    shown: bool,
}

impl Bars {
    /// Listen for signals; `quiet` shows no bar.
    pub fn new(quiet: bool) -> Self {
        stop::listen();
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let hidden = quiet || !terminal;
        Self { started: Instant::now(), current: Mutex::new(None), hidden }
    }

    /// Remove the bar.
    pub fn clear(&self) {
        let phase = self.current.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(phase) = phase {
            phase.bar.finish_and_clear();
        }
    }
}

fn style(total: u64, unit: Unit) -> ProgressStyle {
    let template = match (unit, total) {
        (Unit::Bytes, 0) => "{msg}\n  {bytes} {binary_bytes_per_sec}, {elapsed}",
        (Unit::Bytes, _) => {
            "{msg}\n  {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec}, {eta} left"
        }
        (Unit::Items, 0) => "{msg}\n  {human_pos} {per_sec}, {elapsed}",
        (Unit::Items, _) => "{msg}\n  {wide_bar} {human_pos}/{human_len} {per_sec}, {eta} left",
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for Bars {
    fn phase(&self, name: &str, total: u64, unit: Unit) {
        self.clear();
        if self.hidden {
            return;
        }
        let bar = if total == 0 { ProgressBar::no_length() } else { ProgressBar::new(total) };
        bar.set_draw_target(indicatif::ProgressDrawTarget::hidden());
        bar.set_style(style(total, unit));
        bar.set_message(name.to_owned());
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Phase { bar, shown: false });
    }

    fn advance(&self, n: u64) {
        if self.hidden {
            return;
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(phase) = &mut *current {
            if !phase.shown && self.started.elapsed() > PATIENCE {
                phase.shown = true;
                phase.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
            }
            phase.bar.inc(n);
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
