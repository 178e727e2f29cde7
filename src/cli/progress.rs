//! Progress on standard error: a bar on a terminal, nothing elsewhere; and the
//! wish to stop, from the keyboard or a signal.

use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tmbundle::report::{Progress, Unit};

/// Work that takes less than this shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// Shows progress with indicatif.
pub struct Bars {
    stop: Arc<AtomicBool>,
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
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // A second signal ends the program at once.
            let _ = signal_hook::flag::register_conditional_shutdown(signal, 130, stop.clone());
            let _ = signal_hook::flag::register(signal, stop.clone());
        }
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let hidden = quiet || !terminal;
        Self { stop, started: Instant::now(), current: Mutex::new(None), hidden }
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

    fn interrupted(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}
