//! Files of Netatalk, and PAM.

use super::super::Kind;
use super::row::*;
use std::collections::BTreeSet;
use tmbundle::report::ServerCode as C;
use tmbundle::server::live::dsi::Status;

pub(super) fn rows() -> Vec<Row> {
    vec![
        of(&[C::AfpNoTm], Kind::Afp, AFP.replace("time machine = yes\n", "")),
        afp(&[C::AfpTmNotBoolean], "machine = yes", "machine = on"),
        afp(&[C::AfpUnknownKey], "vol size limit", "volsizelimit"),
        afp(&[C::AfpLimitUnit], "500000", "500G"),
        afp(&[C::AfpLimitOdd], "500000", "500"),
        afp(&[C::AfpLowerCase], "[tm]", "[Time Machine]"),
        afp(&[C::AfpNamesMerge], "[tm]", "[TM]\npath = /srv/b\n[tm]"),
        afp(&[C::AfpSamePath], "[tm]", "[a]\npath = /srv/tm/\n[tm]"),
        afp(&[C::AfpNested], "[tm]", "[a]\npath = /srv\n[tm]"),
        afp(&[C::AfpColon], "[tm]", "[t:m]"),
        afp(&[C::AfpInclude], "[tm]", "include = /etc/x\n[tm]"),
        afp(&[C::AfpSyntax], "path", "oops\npath"),
        afp(&[C::AfpHomes], "[tm]", "[Homes]\n[tm]"),
        afp(&[C::AfpCnid], "path", "cnid scheme = tdb\npath"),
        afp(&[C::AfpCnidPort], "[tm]", "cnid listen = localhost:4701\n[tm]"),
        afp(&[C::AfpUam], "uams_dhx2.so", "uams_guest.so"),
        afp(&[C::AfpUam], "tm", "tm").host(|h| {
            let log_ins = vec!["DHCAST128".into()];
            h.afp_status =
                Some(Status { machine: "Netatalk4.2.3".into(), versions: vec![], log_ins });
        }),
        afp(&[C::AfpQuotes], "/srv/tm", "\"/srv/tm\"").host(|h| h.netatalk = Some((3, 1))),
        afp(&[C::AfpNoLimit], "vol size limit = 500000\n", ""),
        afp(&[C::AfpAccess], "path", "valid users = tmusers\npath").people(),
        afp(&[C::AfpAccess], "path", "read only = yes\npath"),
        afp(&[C::AfpOldFiles], "tm", "tm")
            .host(|h| h.old_netatalk_files = vec!["/etc/netatalk/afpd.conf".into()]),
        afp(&[C::AfpNoZeroconf], "[tm]", "zeroconf = no\n[tm]"),
        of(&[C::AfpGoingAway], Kind::Afp, AFP),
        two(&[C::Na2NoTm], ",tm", ""),
        two(&[C::Na2LooseWord], ",tm", ", tm"),
        two(&[C::Na2BlankInPath], "/srv/tm", "/srv/big tm"),
        two(&[C::Na2Wrapped], "\n", "\nvolsizelimit:1 options:tm\n"),
        two(&[C::Na2Comment], "\n", " # for Anna\n"),
        two(&[C::Na2UnclosedQuote], "\"Anna\"", "\"Anna"),
        two(&[C::Na2Limit], "500000", "1T"),
        two(&[C::Na2NoLimit], "volsizelimit:500000 ", ""),
        two(&[C::Na2Allow], "\"Anna\"", "\"Anna\" allow:tmusers").people(),
        two(&[C::Na2KeyCase], "options", "OPTIONS"),
        two(&[C::Na2Separator], ",tm", ";tm"),
        two(&[C::Na2Colon], "\"Anna\"", "\"Backups of: Anna\""),
        two(&[C::Na2Upriv], "usedots,", ""),
        two(&[C::Na2Cnid], "options", "cnidscheme:cdb options"),
        of(&[C::Na2Uam], Kind::Afpd, "- -tcp -uamlist uams_guest.so\n"),
        of(&[C::Na2Flag], Kind::Afpd, "- -tcp -what\n"),
        of(&[C::Na2DefaultUam], Kind::Afpd, "- -uamlist uams_dhx2.so\n")
            .and(Kind::Defaults, "AFPD_UAMLIST=\"-U uams_dhx.so\"\n"),
        of(&[C::Na2CnidMetad], Kind::Defaults, "CNID_METAD_RUN=no\n"),
        of(&[C::Na2Ldap], Kind::Afpd, "- -uamlist uams_dhx2_passwd.so\n").people().host(|h| {
            h.accounts.as_mut().unwrap().elsewhere = vec!["sss".into()];
        }),
        two(&[C::Na2Twice], "\n", "\n/srv/b \"Anna\" volsizelimit:1 options:usedots,upriv,tm\n"),
        two(&[C::Na2PathMissing], "", "")
            .host(|h| h.folders = Some(BTreeSet::from(["/srv/other".into()]))),
        of(&[C::Na2NoTcp], Kind::Afpd, "- -notcp\n"),
        of(&[C::Escaped], Kind::Afpd, "- -uamlist uams\\_dhx2.so\n"),
        of(&[C::PamModule], Kind::Pam, "auth required pam_gone.so\n").host(|h| {
            h.pam_modules = Some(BTreeSet::from(["pam_unix.so".into()]));
        }),
        of(&[C::PamEcryptfs], Kind::Pam, "auth optional pam_ecryptfs.so unwrap\n"),
        afp(&[C::LoginAccount], "path", "valid users = anna\npath").people().host(|h| {
            h.accounts.as_mut().unwrap().barred.insert("anna".into(), "locked");
        }),
    ]
}
