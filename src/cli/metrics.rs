//! `--metrics`: what a run came to as Prometheus text, for node_exporter's textfile
//! collector. One table of metrics; the rest is the format.
//! Source: prometheus.io, "Exposition formats", text format 0.0.4.

use super::checked::Checked;
use super::doctor::Counts;
use super::targets::Note;
use std::collections::{BTreeMap, HashSet};
use std::fmt::{Display, Write};
use std::path::Path;
use tmbundle::query::watch::{Bundle, Disk, Share, Watch};
use tmbundle::report::present;
use tmbundle::verify::{Outcome, Verdict};

/// Further labels of a sample, and its value.
type Emit<'a> = &'a mut dyn FnMut(&[(&str, &str)], &dyn Display);

/// A metric of one source.
struct Metric {
    name: &'static str,
    help: &'static str,
    /// Emits the samples of one source, none where there is nothing to say.
    samples: fn(&Checked, Emit<'_>),
}

/// A metric of what an outcome holds.
macro_rules! metric {
    ($name:literal, $help:literal, |$o:ident, $emit:ident| $body:block) => {
        Metric {
            name: $name,
            help: $help,
            samples: |checked, $emit| {
                if let Some($o) = checked.outcome.as_ref() {
                    $body
                }
            },
        }
    };
}

/// Every metric of a source, in the order of the file. `docs/monitoring.md` lists them.
const METRICS: &[Metric] = &[
    Metric {
        name: "tmbundle_up",
        help: "Whether the source could be examined at all.",
        samples: |c, emit| emit(&[], &u8::from(c.outcome.as_ref().is_some_and(|o| !o.died()))),
    },
    metric!(
        "tmbundle_verdict",
        "What was found: 0 ok, 1 warnings, 2 damage, 3 stale, 4 unchecked.",
        |o, emit| {
            let verdict = match o.verdict {
                Verdict::Ok => 0,
                Verdict::Warning => 1,
                Verdict::Damage => 2,
                Verdict::Stale => 3,
                Verdict::Unchecked => 4,
            };
            emit(&[], &verdict);
        }
    ),
    metric!("tmbundle_stale", "Whether the last backup is older than --max-age.", |o, emit| {
        emit(&[], &u8::from(o.stale));
    }),
    metric!("tmbundle_unchecked", "Whether something could not be checked.", |o, emit| {
        emit(&[], &u8::from(o.unchecked));
    }),
    metric!("tmbundle_findings", "Findings of each severity.", |o, emit| {
        emit(&[("severity", "damage")], &o.counts.damage);
        emit(&[("severity", "warning")], &o.counts.warning);
        emit(&[("severity", "info")], &o.counts.info);
    }),
    Metric {
        name: "tmbundle_findings_by_code",
        help: "Findings of each code that was found.",
        samples: |c, emit| {
            for (code, n) in &c.codes {
                emit(&[("code", code.name())], n);
            }
        },
    },
    metric!(
        "tmbundle_last_backup_timestamp_seconds",
        "When the last backup was completed, where that is known.",
        |o, emit| {
            if let Some(last) = o.last_completed {
                emit(&[], &last);
            }
        }
    ),
    Metric {
        name: "tmbundle_last_verification_timestamp_seconds",
        help: "When the last verification ended that was not skipped or a quick look only.",
        samples: |c, emit| match c.outcome.as_ref().filter(|o| !o.died()) {
            Some(Outcome { last: Some(last), .. }) => emit(&[], &last.verified),
            Some(o) if !o.skipped() => emit(&[], &c.ended),
            _ => {}
        },
    },
    Metric {
        name: "tmbundle_verification_duration_seconds",
        help: "How long the verification took.",
        samples: |c, emit| when_verified(c, &mut |_| emit(&[], &c.took.as_secs_f64())),
    },
    Metric {
        name: "tmbundle_read_bytes",
        help: "Bytes that the verification read from bands or image.",
        samples: |c, emit| when_verified(c, &mut |_| emit(&[], &c.read)),
    },
    metric!(
        "tmbundle_not_checked",
        "Parts that could not or were not to be checked.",
        |o, emit| {
            emit(&[], &o.not_checked.len());
        }
    ),
    metric!("tmbundle_busy", "Whether a Mac was using the bundle.", |o, emit| {
        emit(&[], &u8::from(o.busy));
    }),
    metric!("tmbundle_skipped", "Whether it was left alone because it was in use.", |o, emit| {
        emit(&[], &u8::from(o.skipped()));
    }),
    metric!("tmbundle_encrypted", "Whether the disk image is encrypted.", |o, emit| {
        if !o.skipped() && !o.died() {
            emit(&[], &u8::from(o.encrypted));
        }
    }),
    metric!("tmbundle_size_bytes", "Size of the disk in the image.", |o, emit| {
        if o.size > 0 {
            emit(&[], &o.size);
        }
    }),
    metric!("tmbundle_bands", "Band files that are there.", |o, emit| {
        if let Some(bands) = o.bands_present {
            emit(&[], &bands);
        }
    }),
];

/// Call `f` for a source that was really checked.
fn when_verified(checked: &Checked, f: &mut dyn FnMut(&Outcome)) {
    if let Some(outcome) = checked.outcome.as_ref().filter(|o| !o.skipped() && !o.died()) {
        f(outcome);
    }
}

/// The text of a run of `verify`.
pub fn page(all: &[Checked], notes: &[Note], exit: u8, now: i64) -> String {
    let mut page = Page::default();
    page.family("tmbundle_build_info", "The version that wrote this file.");
    page.sample("tmbundle_build_info", &[("version", env!("CARGO_PKG_VERSION"))], &1);
    page.family("tmbundle_run_timestamp_seconds", "When the run ended.");
    page.sample("tmbundle_run_timestamp_seconds", &[], &now);
    page.family("tmbundle_run_exit_code", "The exit code of the run.");
    page.sample("tmbundle_run_exit_code", &[], &exit);
    page.family("tmbundle_run_not_verified", "What a share holds beside its bundles, and why.");
    for (note, path) in notes.iter().zip(distinct(notes.iter().map(|n| &*n.path))) {
        let labels = [("path", &*path), ("why", note.why.word())];
        page.sample("tmbundle_run_not_verified", &labels, &1);
    }
    let paths = distinct(all.iter().map(|c| &*c.path));
    for metric in METRICS {
        page.family(metric.name, metric.help);
        for (checked, path) in all.iter().zip(&paths) {
            let name = shown(&checked.name);
            (metric.samples)(checked, &mut |more, value| {
                let mut labels = vec![("bundle", name.as_str()), ("path", path)];
                labels.extend(more);
                page.sample(metric.name, &labels, value);
            });
        }
    }
    page.text
}

/// The text for a run of `doctor`.
pub fn doctor(counts: Counts, codes: &BTreeMap<&str, u64>, exit: u8, now: i64) -> String {
    let mut page = Page::default();
    page.family("tmbundle_doctor_run_timestamp_seconds", "When the run ended.");
    page.sample("tmbundle_doctor_run_timestamp_seconds", &[], &now);
    page.family("tmbundle_doctor_run_exit_code", "The exit code of the run.");
    page.sample("tmbundle_doctor_run_exit_code", &[], &exit);
    page.family("tmbundle_doctor_findings", "Findings about the server of each severity.");
    for (severity, n) in
        [("damage", counts.damage), ("warning", counts.warning), ("info", counts.info)]
    {
        page.sample("tmbundle_doctor_findings", &[("severity", severity)], &n);
    }
    page.family("tmbundle_doctor_findings_by_code", "Findings of each code that was found.");
    for (code, n) in codes {
        page.sample("tmbundle_doctor_findings_by_code", &[("code", code)], n);
    }
    page.text
}

/// The text for a run of `watch`.
pub fn watch(watch: &Watch, exit: u8, now: i64) -> String {
    let mut page = Page::default();
    page.family("tmbundle_watch_run_timestamp_seconds", "When the run ended.");
    page.sample("tmbundle_watch_run_timestamp_seconds", &[], &now);
    page.family("tmbundle_watch_run_exit_code", "The exit code of the run.");
    page.sample("tmbundle_watch_run_exit_code", &[], &exit);
    page.each(&DISKS, &watch.disks, |disk| {
        // A disk is told by the first bundle on it: a device's number changes.
        vec![("bundle", disk.bundles.first().map(|name| shown(name)).unwrap_or_default())]
    });
    page.each(&of_shares(), &named_apart(&watch.shares), |(share, name)| {
        vec![("server", share.server.to_owned()), ("share", name.clone())]
    });
    let bundles: Vec<&Bundle> = watch.macs.iter().flat_map(|mac| &mac.bundles).collect();
    let paths = distinct(bundles.iter().map(|b| Path::new(&b.path)));
    let rows: Vec<(&Bundle, String)> = bundles.into_iter().zip(paths).collect();
    page.each(&of_bundles(), &rows, |(bundle, path)| {
        vec![("bundle", shown(&bundle.name)), ("path", path.clone())]
    });
    page.text
}

/// A metric of something: name, help, value.
type Gauge<T> = (&'static str, &'static str, fn(&T) -> Option<i128>);

const DISKS: [Gauge<Disk>; 4] = [
    ("tmbundle_watch_disk_size_bytes", "Bytes of the disk.", |d| d.total.map(i128::from)),
    ("tmbundle_watch_disk_free_bytes", "Bytes that are free.", |d| d.free.map(i128::from)),
    ("tmbundle_watch_disk_growth_bytes_per_week", "How its use grows, where that is known.", |d| {
        d.growth_per_week.map(i128::from)
    }),
    ("tmbundle_watch_disk_full_timestamp_seconds", "When it is full, where that is known.", |d| {
        d.full_at.map(i128::from)
    }),
];

fn of_shares<'a>() -> [Gauge<(&'a Share, String)>; 3] {
    [
        ("tmbundle_watch_share_limit_bytes", "The limit that the server tells Macs.", |(s, _)| {
            s.limit.map(i128::from)
        }),
        ("tmbundle_watch_share_used_bytes", "What the server counts against it.", |(s, _)| {
            Some(i128::from(s.used))
        }),
        (
            "tmbundle_watch_share_unwarned_macs",
            "Macs that are told of more than the disk has.",
            |(s, _)| i128::try_from(s.unwarned.len()).ok(),
        ),
    ]
}

/// Shares with their names as label values: those of one server that are equal are told apart.
fn named_apart(shares: &[Share]) -> Vec<(&Share, String)> {
    let mut seen = HashSet::new();
    let name = |share: &Share| told_apart(shown(&share.name), |n| seen.insert((share.server, n)));
    let names: Vec<String> = shares.iter().map(name).collect();
    shares.iter().zip(names).collect()
}

fn of_bundles<'a>() -> [Gauge<(&'a Bundle, String)>; 5] {
    [
        ("tmbundle_watch_stored_bytes", "Bytes that the bundle takes on its disk.", |(b, _)| {
            b.stored.map(i128::from)
        }),
        ("tmbundle_watch_limit_bytes", "Bytes that the bundle may hold.", |(b, _)| {
            Some(i128::from(b.limit))
        }),
        ("tmbundle_watch_growth_bytes_per_week", "How it grows, where that is known.", |(b, _)| {
            b.growth_per_week.map(i128::from)
        }),
        ("tmbundle_watch_last_backup_timestamp_seconds", "Its last completed backup.", |(b, _)| {
            b.last_completed.map(i128::from)
        }),
        ("tmbundle_watch_leftover", "Whether no Mac goes on with it.", |(b, _)| {
            Some(i128::from(b.leftover.is_some()))
        }),
    ]
}

/// The paths as label values. A series that stands twice makes the whole file
/// worthless, so names that are equal once made UTF-8 are told apart.
fn distinct<'a>(all: impl Iterator<Item = &'a Path>) -> Vec<String> {
    let mut seen = HashSet::new();
    all.map(|path| told_apart(shown(&path.to_string_lossy()), |p| seen.insert(p))).collect()
}

/// A label value that is `new`.
fn told_apart(mut value: String, mut new: impl FnMut(String) -> bool) -> String {
    while !new(value.clone()) {
        value.push('\u{fffd}');
    }
    value
}

/// A label without what would mislead a terminal that shows it; newlines are escaped by the
/// format itself.
fn shown(value: &str) -> String {
    value.split('\n').map(present).collect::<Vec<_>>().join("\n")
}

/// The text format. Every metric of ours is a gauge.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn family(&mut self, name: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    /// All metrics of several things.
    fn each<T>(
        &mut self,
        gauges: &[Gauge<T>],
        all: &[T],
        labels: impl Fn(&T) -> Vec<(&'static str, String)>,
    ) {
        for (name, help, value) in gauges {
            self.family(name, help);
            for one in all {
                let labels = labels(one);
                let labels: Vec<(&str, &str)> =
                    labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
                if let Some(value) = value(one) {
                    self.sample(name, &labels, &value);
                }
            }
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: &dyn Display) {
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escape(value))).collect();
        let labels =
            if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{name}{labels} {value}");
    }
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
