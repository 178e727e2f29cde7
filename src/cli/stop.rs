//! The wish to stop, from the keyboard or a signal.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

static STOP: AtomicBool = AtomicBool::new(false);
/// How many are writing something that should not be cut short.
static SAVING: AtomicUsize = AtomicUsize::new(0);

/// Time to stop of one's own accord, and to save what is worth saving.
const GRACE: Duration = Duration::from_millis(800);
/// Between two looks.
const NAP: Duration = Duration::from_millis(50);

/// From now on a first signal is noted; a second one ends the program at once.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Registered now; what arrives before the thread runs waits for it.
        let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGHUP]) else { return };
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if STOP.swap(true, Ordering::Relaxed) {
                    super::progress::clear();
                    std::process::exit(130);
                }
            }
        });
    });
}

/// Whether the user asked to stop.
pub fn asked() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// From now on end the program when it has not stopped of its own accord shortly after
/// it was asked to: it may wait for a disk that does not answer, or sort ten million
/// records. Nothing that it leaves behind is half written: files get their names last.
pub fn enforce() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            while !asked() {
                std::thread::sleep(NAP);
            }
            std::thread::sleep(GRACE);
            while SAVING.load(Ordering::Acquire) > 0 {
                std::thread::sleep(NAP);
            }
            super::progress::clear();
            super::output::error("interrupted", None);
            std::process::exit(130);
        });
    });
}

/// While state is being saved the program is not ended by [`enforce`].
pub fn saving(now: bool) {
    if now {
        SAVING.fetch_add(1, Ordering::AcqRel);
    } else {
        let _ = SAVING.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    }
}
