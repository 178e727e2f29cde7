//! `doctor`'s rules and readers: held to what real servers made of configurations
//! (`../shared/data/server`), and to small ones of our own for every rule.

mod comments;
mod expected;
mod held;
mod measured;
mod provoked;
mod registry;
mod testparm;

use tmbundle::server::text::Files;
use tmbundle::server::{Host, Setup, Told, avahi, mounts, netatalk, pam, samba};

/// Put a configuration file where its kind belongs.
pub fn load(setup: &mut Setup, files: &dyn Files, kind: Kind, path: &str, host: &Host) {
    let text = || files.text(path).unwrap();
    match kind {
        Kind::Samba => setup.samba = Some(samba::parse(files, path).unwrap()),
        Kind::Afp => {
            setup.afp = Some(netatalk::afp::parse(files, path, host.netatalk).unwrap());
        }
        Kind::Volumes => setup.netatalk2.volumes(path, &text()),
        Kind::Afpd => setup.netatalk2.servers(path, &text()),
        Kind::Defaults => setup.netatalk2.defaults(path, &text()),
        Kind::Service => setup.services.push(avahi::ServiceFile::read(path, &text())),
        Kind::Fstab => setup.fstab = mounts::fstab(&path.into(), &text()),
        Kind::Mounts => setup.mounts = Some(mounts::mountinfo(&path.into(), &text())),
        Kind::Avahi => setup.avahi = avahi::Daemon::read(path, &text()),
        Kind::Pam => setup.pam = pam::read(files, path),
    }
}

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Samba,
    Afp,
    Volumes,
    Afpd,
    Defaults,
    Service,
    Fstab,
    Mounts,
    Pam,
    Avahi,
}

/// Rule and line of each finding.
pub fn lines(told: &[Told]) -> Vec<(String, Option<u32>)> {
    told.iter().map(|t| (t.rule.to_owned(), t.finding.place.line)).collect()
}
