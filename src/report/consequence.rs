//! What a Mac does about what a finding tells, and which page helps on the evening it is found.
//!
//! By the names of codes, longest first: what a Mac does follows from the part that is wrong.
//! Facts: Apple's documentation of `tmutil` and `fsck_hfs`, and what admins have told of their Macs.

use super::Code;

/// What follows from findings whose codes begin alike.
#[derive(Debug, Clone, Copy)]
pub struct Consequence {
    /// How the names of the codes begin.
    pub codes: &'static str,
    /// What a Mac would do, one or two sentences.
    pub mac: &'static str,
    /// The page that helps, below `docs/`.
    pub page: &'static str,
}

/// Of findings about bundles and volumes, most particular first.
const OF_BACKUPS: &[Consequence] = &[
    Consequence {
        codes: "BUNDLE-BUSY",
        mac: "It is at work on the backup and sees nothing of this.",
        page: "verify.md",
    },
    Consequence {
        codes: "BUNDLE-SKIPPED",
        mac: "It is at work on the backup and sees nothing of this.",
        page: "verify.md",
    },
    Consequence {
        codes: "BUNDLE-TWICE",
        mac: "It goes on with the bundle that it finds first by its hardware UUID, which need not be the right one.",
        page: "runbooks/move-server.md",
    },
    Consequence {
        codes: "BUNDLE-DENIED",
        mac: "It logs in as another user than the one who looked, and may see more, or nothing at all.",
        page: "doctor.md",
    },
    Consequence {
        codes: "BUNDLE-UNVERIFIED",
        mac: "Nothing; it makes backups all the same.",
        page: "monitoring.md",
    },
    Consequence {
        codes: "BUNDLE-TOKEN",
        mac: "It cannot attach an encrypted image without its keys, whatever the password.",
        page: "runbooks/old-hfs.md",
    },
    Consequence {
        codes: "BUNDLE-",
        mac: "It attaches the image by its property lists; if it cannot, it says that the backup disk is not available, or begins anew.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "TOKEN-",
        mac: "It cannot attach an encrypted image without its keys, whatever the password.",
        page: "runbooks/old-hfs.md",
    },
    Consequence {
        codes: "PASSWORD-",
        mac: "Nothing; it has its own password.",
        page: "encryption.md",
    },
    Consequence {
        codes: "EXAMINATION-",
        mac: "Nothing; it makes backups all the same.",
        page: "verify.md",
    },
    Consequence {
        codes: "MANIFEST-",
        mac: "Nothing; it knows of no manifest.",
        page: "manifest.md",
    },
    Consequence {
        codes: "CHUNK-",
        mac: "It reads zeros there, and takes them for what it wrote.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "BAND-UNREADABLE",
        mac: "Its backup stops with an input/output error, each time at the same place.",
        page: "runbooks/dying-disk.md",
    },
    Consequence {
        codes: "BAND-PART-UNREADABLE",
        mac: "Its backup stops with an input/output error, each time at the same place.",
        page: "runbooks/dying-disk.md",
    },
    Consequence {
        codes: "BAND-ROT",
        mac: "It takes the bytes for what it wrote, until its fsck stumbles over them.",
        page: "runbooks/dying-disk.md",
    },
    Consequence { codes: "BAND-MANY", mac: "It is slow.", page: "doctor.md" },
    Consequence {
        codes: "BAND-DENIED",
        mac: "It logs in as another user than the one who looked, and may see more, or nothing at all.",
        page: "doctor.md",
    },
    Consequence {
        codes: "BAND-",
        mac: "It reads what is missing as zeros and goes on, until its fsck stumbles over it; then it demands a new backup.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "DISK-NOT-RESCUED",
        mac: "Of the copy it would take the zeros for what it wrote.",
        page: "runbooks/dying-disk.md",
    },
    Consequence {
        codes: "DISK-UNREADABLE",
        mac: "It cannot attach the image, or not mount the volume.",
        page: "runbooks/dying-disk.md",
    },
    Consequence {
        codes: "DISK-",
        mac: "It cannot attach the image, or not mount the volume.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "PART-",
        mac: "It finds no volume, or mends the map by the other copy when Disk Utility is asked to.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "VOLUME-",
        mac: "It finds no volume, and offers to erase the disk: refuse.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "APFS-VOLUME-STATE",
        mac: "It goes on with what it had begun when it next mounts the volume.",
        page: "runbooks/new-backup.md",
    },
    Consequence {
        codes: "APFS-CHECKPOINT",
        mac: "It goes back to the newest checkpoint that is whole, or mounts nothing of the container; what came later is lost to it.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "APFS-CONTAINER",
        mac: "It mounts none of the container's volumes, or reads all of them by wrong numbers.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "APFS-KEYBAG",
        mac: "It may refuse the right password.",
        page: "encryption.md",
    },
    Consequence {
        codes: "APFS-COUNT",
        mac: "It goes on; fsck_apfs corrects the number at the next check.",
        page: "verify.md",
    },
    Consequence {
        codes: "APFS-BITMAP-OVER",
        mac: "It goes on with a little less space.",
        page: "verify.md",
    },
    Consequence {
        codes: "APFS-EFI",
        mac: "It cannot start from the disk, which no backup is for; it mounts it.",
        page: "verify.md",
    },
    Consequence {
        codes: "APFS-",
        mac: "fsck_apfs finds it at the next check, mends little of the kind, and Time Machine demands a new backup.",
        page: "runbooks/new-backup.md",
    },
    Consequence {
        codes: "HFS-JOURNAL-DIRTY",
        mac: "It replays the journal when it attaches the image.",
        page: "runbooks/nas-crashed.md",
    },
    Consequence {
        codes: "HFS-",
        mac: "fsck_hfs finds it at the next check and mends what it can; what it cannot makes Time Machine demand a new backup.",
        page: "runbooks/new-backup.md",
    },
    Consequence {
        codes: "TM-VERIFICATION-FAILED",
        mac: "It demands a new backup, and puts the old one aside or removes it.",
        page: "runbooks/new-backup.md",
    },
    Consequence {
        codes: "TM-BLOCKED",
        mac: "It makes no backup until its question is answered.",
        page: "runbooks/new-backup.md",
    },
    Consequence {
        codes: "TM-HOST",
        mac: "It takes the backup for another Mac's, and begins anew unless it inherits it.",
        page: "runbooks/move-server.md",
    },
    Consequence {
        codes: "TM-STALE",
        mac: "It says nothing for ten days and more.",
        page: "runbooks/disk-full.md",
    },
    Consequence {
        codes: "TM-NEVER-COMPLETE",
        mac: "It tries again every hour, and says little.",
        page: "runbooks/disk-full.md",
    },
    Consequence {
        codes: "TM-",
        mac: "It mostly goes on, and shows the backups as its own records have them.",
        page: "runbooks/mac-died.md",
    },
    Consequence {
        codes: "FILE-",
        mac: "It restores the file as it is, or says that it cannot be restored; it does not look at others.",
        page: "runbooks/mac-died.md",
    },
];

/// Of findings about the server, whose meanings say what Macs do.
const OF_SERVERS: Consequence = Consequence {
    codes: "SRV-",
    mac: "What Macs do because of it stands with the code.",
    page: "doctor.md",
};

impl Consequence {
    /// All, in the order of the page.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        OF_BACKUPS.iter().chain(std::iter::once(&OF_SERVERS))
    }
}

impl Code {
    /// What a Mac would do, and what helps.
    pub fn consequence(self) -> &'static Consequence {
        Consequence::all().find(|c| self.name().starts_with(c.codes)).unwrap_or(&OF_SERVERS)
    }
}
