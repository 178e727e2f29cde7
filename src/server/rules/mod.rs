//! The rules: pure functions of what was read and what is known.
//!
//! A rule is silent when its facts are missing. One fault, one finding: what only follows from
//! another finding of the same line is left out by [`settle`], what follows from another line by
//! the rule itself.

mod afp;
mod announce;
mod announced;
mod disk;
mod disk_use;
mod login;
mod machine;
mod samba_file;
mod samba_global;
mod samba_limit;
mod samba_share;
mod samba_state;
mod two;
mod two_flags;

use super::{Host, Setup, Told};
use crate::report::{ServerCode as C, Severity};
use std::cmp::Reverse;

/// What every rule is given.
#[derive(Clone, Copy)]
struct Case<'a> {
    setup: &'a Setup,
    host: &'a Host,
}

/// A share of any server that is for Time Machine.
struct Target {
    name: String,
    path: String,
    server: Server,
    /// Where it is defined.
    at: Option<super::text::At>,
    /// Limit in bytes.
    limit: Option<u64>,
    /// Users who may use it, if that is known.
    users: Option<Vec<String>>,
    /// Whether files belong to a user of their own choosing (`force user`).
    forced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Server {
    Samba,
    Netatalk,
}

/// Every rule.
pub fn all(setup: &Setup, host: &Host) -> Vec<Told> {
    let case = Case { setup, host };
    let mut told = Vec::new();
    if let Some(samba) = &setup.samba {
        samba_file::rules(case, samba, &mut told);
        samba_global::rules(case, samba, &mut told);
        samba_share::rules(case, samba, &mut told);
        samba_limit::rules(case, samba, &mut told);
        samba_state::rules(case, samba, &mut told);
    }
    if let Some(afp) = &setup.afp {
        afp::rules(case, afp, &mut told);
    }
    two::rules(case, &mut told);
    two_flags::rules(case, &mut told);
    login::rules(case, &mut told);
    announce::rules(case, &mut told);
    announced::rules(case, &mut told);
    disk::rules(case, &mut told);
    machine::rules(case, &mut told);
    settle(setup, told)
}

impl Case<'_> {
    /// The shares that are for Time Machine and that a Mac can open, as far as files tell.
    fn targets(&self) -> Vec<Target> {
        let mut all = Vec::new();
        for share in self.setup.samba.iter().flat_map(super::samba::Samba::time_machines) {
            let Some(path) = share.path().filter(|p| p.starts_with('/') && !p.contains('%')) else {
                continue;
            };
            if share.boolean("available") == Some(false) {
                continue;
            }
            let limit = share.seen(self.host.samba_from((4, 25)) == Some(true)).limit;
            all.push(Target {
                name: share.name().to_owned(),
                path,
                server: Server::Samba,
                at: share.section.at.clone(),
                limit,
                users: login::samba_users(*self, &share),
                forced: share.get("forceuser").is_some_and(|s| !s.value.is_empty()),
            });
        }
        if let Some(afp) = &self.setup.afp {
            for volume in afp.served().into_iter().filter(|v| afp.is_time_machine(v)) {
                let Some(path) =
                    afp.path_of(volume).filter(|p| p.starts_with('/') && !p.contains('$'))
                else {
                    continue;
                };
                all.push(Target {
                    name: afp.name_of(volume),
                    path,
                    server: Server::Netatalk,
                    at: Some(volume.at.clone()),
                    limit: afp.limit(volume).and_then(|m| m.checked_mul(1 << 20)),
                    users: login::afp_users(*self, afp, volume),
                    forced: afp.get(volume, "force user").or(afp.global("force user")).is_some(),
                });
            }
        }
        for volume in self.setup.netatalk2.volumes.iter().filter(|v| v.is_time_machine()) {
            if volume.path.starts_with('/') && !volume.path.contains('$') {
                all.push(Target {
                    name: volume.name(),
                    path: volume.path.clone(),
                    server: Server::Netatalk,
                    at: Some(volume.at.clone()),
                    limit: volume.limit_mib().and_then(|m| m.checked_mul(1 << 20)),
                    users: login::two_users(*self, volume),
                    forced: volume.key("forceuid").is_some(),
                });
            }
        }
        all
    }

    /// Whether any server of the setup offers or is meant to offer Time Machine.
    fn means_time_machine(&self) -> bool {
        self.setup.samba.as_ref().is_some_and(|s| s.time_machines().next().is_some())
            || self.afp_means_it()
            || self
                .setup
                .netatalk2
                .volumes
                .iter()
                .any(super::netatalk::two::Volume::is_time_machine)
    }

    fn afp_means_it(&self) -> bool {
        self.setup
            .afp
            .as_ref()
            .is_some_and(|afp| afp.volumes.iter().any(|v| afp.get(v, "time machine").is_some()))
    }
}

/// Findings that explain whatever else is wrong with their line, the first first.
const CAUSES: &[C] = &[C::ConfFatal, C::CommentInValue, C::Typographic, C::Escaped, C::NameBlank];

/// Pairs at one line: the second follows from the first.
const FOLLOWS: &[(C, C)] = &[
    (C::Typographic, C::LineIgnored),
    (C::Na2LooseWord, C::Na2NoTm),
    (C::Na2KeyCase, C::Na2NoTm),
    (C::Na2Separator, C::Na2NoTm),
    (C::Na2UnclosedQuote, C::Na2NoTm),
    (C::Na2LooseWord, C::Na2Twice),
    (C::Na2BlankInPath, C::Na2Twice),
    (C::Na2BlankInPath, C::Na2PathMissing),
    (C::Na2BlankInPath, C::Na2LooseWord),
    (C::AfpTmNotBoolean, C::AfpNoTm),
];

/// Leave out what follows from something else, and put the worst first.
fn settle(setup: &Setup, told: Vec<Told>) -> Vec<Told> {
    let fatal = setup.samba.as_ref().is_some_and(super::samba::Samba::is_fatal)
        || setup.afp.as_ref().is_some_and(|afp| !afp.starts());
    let at = |code: C, of: &Told| {
        of.finding.place.line.is_some()
            && told.iter().any(|t| t.code() == Some(code) && t.line() == of.line())
    };
    let follows = |t: &Told| {
        let Some(code) = t.code() else { return false };
        let cause = CAUSES.iter().position(|c| at(*c, t));
        let own = CAUSES.iter().position(|c| *c == code);
        // What cannot be opened has its own finding.
        let ghost = code == C::MdnsGhost
            && told.iter().any(|o| o.share == t.share && o.finding.severity == Severity::Damage);
        let of_cause = cause.is_some_and(|first| own.is_none_or(|own| own > first));
        ghost || of_cause || FOLLOWS.iter().any(|(first, then)| *then == code && at(*first, t))
    };
    let mut kept: Vec<Told> = told
        .iter()
        .filter(|t| !follows(t))
        // Who cannot start needs no advice.
        .filter(|t| !(fatal && t.finding.severity == Severity::Info))
        .cloned()
        .collect();
    kept.sort_by_cached_key(|t| {
        let place = &t.finding.place;
        (
            Reverse(t.finding.severity),
            place.path.clone(),
            place.line,
            t.rule,
            t.finding.message.clone(),
        )
    });
    kept.dedup_by(|a, b| a.rule == b.rule && a.finding == b.finding);
    kept
}

/// A line of `key = value` with the indentation of another.
fn like(line: &str, text: &str) -> String {
    let indent: String = line.chars().take_while(|c| c.is_ascii_whitespace()).collect();
    format!("{indent}{text}")
}
