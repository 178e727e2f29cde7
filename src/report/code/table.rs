// Every code of a backup: its name, severity, what it is about and its qualities, its counterparts, what it
// means and what to do. Read by the macro of `code.rs`.

codes! {
    InfoFallback "BUNDLE-INFO-FALLBACK" Warning Nothing []
        "Info.plist is missing or broken; the bundle was read by its copy, Info.bckup."
        => "Copy Info.bckup over Info.plist while no Mac uses the bundle.";
    InfoLost "BUNDLE-INFO-LOST" Damage Nothing []
        "Neither Info.plist nor Info.bckup can be read; band size and size are taken from the bands and the partition table, as far as they tell."
        => "Restore Info.plist from another copy of the bundle, or from the file that is named; where the guess is wrong, --band-size and --size say what is right.";
    InfoContradicted "BUNDLE-INFO-WRONG" Damage Nothing []
        "The band size or size in Info.plist and Info.bckup cannot be right: the bands that are there contradict it. They were read by what the bands and the partition table say."
        => "Restore Info.plist from another copy of the bundle; a Mac would read it by the wrong numbers.";
    InfoDiffers "BUNDLE-INFO-DIFFERS" Warning Nothing []
        "Info.plist and Info.bckup disagree; a resize may have been interrupted."
        => "Let the Mac attach the image once; it rewrites both.";
    InfoOdd "BUNDLE-INFO-ODD" Warning Nothing []
        "A value in Info.plist is not one that macOS writes."
        => "Compare Info.plist with Info.bckup and with another bundle of the same Mac.";
    TokenUnknown "BUNDLE-TOKEN-UNKNOWN" Damage Nothing []
        "The token is neither empty nor an encryption header, or it cannot be read; without it an encrypted bundle cannot be opened."
        => "Restore the token from another copy of the bundle: it holds the only keys.";
    TokenMissing "BUNDLE-TOKEN-MISSING" Warning Nothing []
        "The token file is missing; a plain bundle reads without it, an encrypted one is lost."
        => "Restore the token from another copy of the bundle.";
    TokenLost "TOKEN-LOST" Damage Nothing []
        "The bands look encrypted, but the token is empty or missing: without the keys in it nobody can read them."
        => "Restore the token from another copy of the bundle: it holds the only keys.";
    TokenStray "TOKEN-STRAY" Info Nothing []
        "Another file in the bundle holds an encryption header like the token's; it may be the only copy of these keys."
        => "Keep it, outside the bundle if you like; it opens the bands if the token is lost or is another's.";
    TokenForeign "TOKEN-FOREIGN" Damage Nothing []
        "The token opens with the password, but what it decrypts is noise: its keys are not those of these bands."
        => "Look for the token that belongs to these bands, in another copy of the bundle or in a file beside this one.";
    HeaderEncryption "TOKEN-DAMAGED" Damage Nothing []
        "The encryption header is damaged; a right password will not open it."
        => "Restore the token from another copy of the bundle: it holds the only keys.";
    TokenOdd "TOKEN-ODD" Warning Nothing []
        "A part of the encryption header is broken that is not needed as long as the rest is whole."
        => "Keep a copy of the token; let the Mac change the image's password to the same one to write it anew.";
    ChunkZero "CHUNK-ZERO" Warning Place []
        "Chunks of ciphertext that were read are all zero, which no encryption produces; they read as zeros."
        => "Where the server's disk lost writes, files have holes; a check of contents tells which.";
    BundleBusy "BUNDLE-BUSY" Info Nothing []
        "A Mac is using the bundle, or it changed while it was checked; findings on its contents may come from that and are graded as warnings."
        => "Verify again when no Mac is connected, or a snapshot of the server's file system.";
    BundleSkipped "BUNDLE-SKIPPED" Info Nothing []
        "The bundle was in use and left for another time, as --if-busy asked, or because another tmbundle was verifying it."
        => "Nothing, if it is checked another time.";
    BundleStray "BUNDLE-STRAY" Info Nothing []
        "A file that macOS did not write lies in the bundle."
        => "Look what it is before it is moved away: what is not known for sure may be the only copy of something.";
    PlistBroken "BUNDLE-PLIST-BROKEN" Warning Nothing []
        "One of Time Machine's own property lists in the bundle cannot be read."
        => "The Mac writes it again at its next backup.";
    BandStray "BAND-STRAY" Info Nothing []
        "A name in bands/ is not the name of a band; it was not read."
        => "Look what it is before it is moved away; NAS software and sync tools leave such files.";
    BandVersions "BAND-VERSIONS" Warning Nothing []
        "Another file stands for a band that is there, too: two versions of one band exist, and only the one under the band's own name was read."
        => "Keep both until it is known which is the good one: verify --read-data compares checksums; try the other version in a copy of the bundle.";
    BandName "BAND-NAME" Warning Nothing []
        "A file in bands/ looks like a band with a wrong name (upper case, leading zeros) and was not read."
        => "Find out what renamed it; if the band of that number is missing, this may be it.";
    BandOutOfRange "BAND-OUT-OF-RANGE" Warning Nothing []
        "A band lies wholly past the size of the image and was not read."
        => "Left from a shrunk image, or the size in Info.plist is wrong; keep it until the volume is known to be whole.";
    BandTooLong "BAND-TOO-LONG" Damage Nothing []
        "A band file is longer than a band can be; the excess was not read."
        => "Check the server's disk and file system; something else wrote into this file.";
    BandNotFile "BAND-NOT-FILE" Damage Place []
        "A band is not a regular file (a folder, link or device); it was not opened."
        => "Find out what replaced the band; restore it from another copy.";
    BandDenied "BAND-DENIED" Warning Nothing []
        "A band may not be read by the user who ran this; whether it is sound is not known, and what lies in it was not checked."
        => "Run it as a user who may read the bundle, or with sudo.";
    BundleDenied "BUNDLE-DENIED" Warning Nothing []
        "A property list or the token of the bundle may not be read by the user who ran this; what it says is not known, and what needs it was not checked."
        => "Run it as a user who may read the bundle, or with sudo.";
    BandsLost "BUNDLE-BANDS-LOST" Damage Nothing []
        "The folder bands/ is missing, or is no folder: nothing of the disk is there."
        => "Look for the folder under another name, in another copy of the bundle, or where a link in its place leads; verify the bundle again when it is back.";
    BundleTwice "BUNDLE-TWICE" Warning Nothing []
        "Another bundle has the same identity: a copy, or a bundle that was given the identity of this one. Each has a manifest of its own."
        => "If it is a copy, nothing; else find out who made the other one. What the Mac writes to is the one with the newer bands.";
    PasswordWrong "PASSWORD-WRONG" Warning Nothing []
        "The password that was given does not open the image; what needs no password was checked."
        => "Give the password of this very image; --password-command is told which by TMBUNDLE_SOURCE.";
    PasswordUnread "PASSWORD-UNREAD" Warning Nothing []
        "The password could not be had: its file cannot be read, or its command failed; what needs no password was checked."
        => "See that the file of --password-file or --password-dir is there and may be read, and what --password-command says.";
    ExaminationEnded "EXAMINATION-ENDED" Warning Nothing []
        "The examination of this source ended before its time: it met a limit (--max-memory, --max-time) or crashed. Nobody knows how the source is."
        => "Verify it by itself, with more --max-memory or --max-time if it is large; if it crashes, report a bug.";
    BandSector "BAND-PART-UNREADABLE" Damage Place []
        "Part of a band cannot be read: the server's disk reports an error there."
        => "Look at the server's disk now; copy the bundle to another one, and restore the band from another copy.";
    BandUnreadable "BAND-UNREADABLE" Damage Place []
        "A band cannot be read: the disk reports an error or access is denied."
        => "Run as a user who may read it; if that is not the cause, look at the server's disk now.";
    BandLost "BAND-LOST" Damage Place + Contents []
        "A band is missing, short or has a hole where the volume keeps its own records or the data of files."
        => "Look for the band in another copy of the bundle; ask the server's disk and file system what happened to it.";
    BandMapped "BAND-MAPPED" Damage Place + Contents []
        "A band is missing or short where the bundle's own record (mapped/) says that it was written."
        => "Look for the band in another copy of the bundle; ask the server's disk and file system what happened to it.";
    BandHole "BAND-HOLE" Info Nothing []
        "Bands have holes under the data of files; they read as zeros. Normal where the server's file system keeps zeros as holes (ZFS, sparse copies)."
        => "Nothing, unless the server's disk has lost data; then compare these files with another copy.";
    BandMany "BAND-MANY" Info Nothing []
        "The bundle has so many bands that listing and copying it is slow on most file servers."
        => "Harmless; a new bundle with larger bands (hdiutil create -imagekey sparse-band-size) is easier on the server.";
    BandRot "BAND-ROT" Damage Place []
        "A band's bytes differ from those of an earlier run (--manifest), though its size and times say that nobody wrote to it: the server's disk, memory or cable changed them."
        => "Restore the band from another copy of the bundle or a snapshot of the server's file system; look at the disk's health now.";
    BandRewritten "BAND-REWRITTEN" Warning Place []
        "A band's bytes differ from those of an earlier run under the same size and modification time, but its inode was changed: something rewrote it and set the time back, or it is rotten and its owner or attributes were changed, too."
        => "If a copy or a restore of the bundle explains it, nothing; else compare the band with another copy.";
    BandGone "BAND-GONE" Warning Place []
        "A band that was there at an earlier run is gone, though nothing else in the bundle changed: a Mac that drops a band writes to others, too."
        => "If nobody compacted the image, ask the server's disk and file system what happened to the band.";
    ManifestRestarted "MANIFEST-RESTARTED" Warning Nothing []
        "What was kept of earlier runs (the manifest of bands, or the bundle's record) is damaged; it was put aside and begun anew, so what changed since then cannot be told."
        => "Look at the disk that holds the state directory; the next runs compare again.";
    ManifestUnwritten "MANIFEST-UNWRITTEN" Warning Nothing []
        "What is kept between runs (the manifest of bands, the bundle's record) could not be read or written, so the next run knows less of this one. The bundle itself was checked. The exit code is 1."
        => "Look whether the state directory (also $STATE_DIRECTORY) lies in a bundle, or its disk is full or read-only, and what lies where --manifest and --state-dir say.";
    BundleUnverified "BUNDLE-UNVERIFIED" Warning Nothing []
        "The bundle was skipped again, and its last verification is longer ago than --max-unverified allows; nobody knows how it is. The exit code is 1."
        => "Verify it when no Mac is connected, with --if-busy=wait or check, or on a snapshot of the server's file system.";
    DiskUnreadable "DISK-UNREADABLE" Damage Place []
        "The part of the disk that holds the partition map or the start of a volume cannot be read."
        => "See the finding on the band that holds it; of a raw disk, look at its health now.";
    DiskCut "DISK-CUT" Damage Place []
        "The file or bundle that holds the disk ends before the disk or a volume on it does. What is there was read."
        => "Copy it again from where it came, or, of a bundle, compare size in Info.plist with another copy's; what lies past the end is lost.";
    DiskNotRescued "DISK-NOT-RESCUED" Damage Place + Contents []
        "The disk was copied with ddrescue, and its map (--bad-map) says that it could not read bytes that files have."
        => "Run ddrescue again with the same map, which tries only what is missing; take the files from another snapshot or copy.";
    DiskImageDamaged "DISK-IMAGE-DAMAGED" Damage Nothing []
        "The tables of a disk image in one file (.dmg, .sparseimage) are broken, so the disk in it cannot be read."
        => "Copy the file again from where it came.";
    GptPrimary "PART-GPT-PRIMARY" Damage Nothing []
        "The primary GPT header or table is broken; the backup was used."
        => "A Mac's Disk Utility repairs it from the backup.";
    GptBackup "PART-GPT-BACKUP" Warning Nothing []
        "The backup GPT header or table is broken or not where it should be."
        => "Left behind by an interrupted resize, or the image's end is lost; Disk Utility repairs it.";
    GptDiffers "PART-GPT-DIFFERS" Warning Nothing []
        "The two copies of the GPT are both valid but do not agree."
        => "Disk Utility repairs it.";
    PartitionEntry "PART-ENTRY" Damage Nothing []
        "A partition overlaps another or lies outside the disk."
        => "Do not let anything write to this image; compare with Info.bckup's size.";
    ApmEntry "PART-APM-ENTRY" Damage Nothing []
        "An Apple partition map entry is missing or contradicts the others."
        => "Do not let anything write to this image.";
    VolumeSearched "PART-SEARCHED" Damage Nothing []
        "The partition map is lost or leads nowhere; a volume was found by searching, and was used."
        => "Nothing is lost for tmbundle; a Mac needs the map. --volume-offset takes another place, --partition another partition.";
    VolumeUnknown "VOLUME-UNKNOWN" Damage Nothing + Contents []
        "A partition that should hold a volume holds nothing tmbundle recognises."
        => "Look for the first bands in another copy of the bundle. Only if it holds no data at all was it interrupted while new.";
    VolumeNone "VOLUME-NONE" Damage Nothing []
        "No volume was found on the disk."
        => "The image was never formatted, or its first band is lost.";
    ApfsUnreadable "APFS-UNREADABLE" Damage Place + Contents [] ["om: btn: found zeroed-out block"]
        "A structure of an APFS container, of one of its volumes or of a snapshot cannot be read: it is lost or wrong."
        => "What it leads to cannot be read; if a band is lost or rotten, restore that band from elsewhere.";
    ApfsCheckpoint "APFS-CHECKPOINT" Damage Nothing + Contents []
        "The newest state of an APFS container is lost or cut off: an older checkpoint was read, the superblock in block 0 replaced, or the container is longer than what there is of it."
        => "What is shown may be old, and parts of it overwritten since. Look for what is lost, where the finding says that it lies, in another copy first; copy out what you need, and let a Mac check the original only then.";
    ApfsState "APFS-VOLUME-STATE" Info Nothing + Contents []
        "An APFS container or volume was left in the middle of something: it was not unmounted, is being restored, set back to a snapshot, encrypted or made smaller; or a snapshot has given up its data."
        => "Nothing to do here; a Mac goes on with it when it next mounts the volume.";
    ApfsContainer "APFS-CONTAINER" Damage Nothing + Contents []
        "What the superblock of an APFS container says of itself, its size, its features or its numbers is impossible, or block 0 is no copy of it."
        => "A Mac may refuse the volume, or read it by wrong numbers; look for the band in another copy of the bundle.";
    ApfsRing "APFS-RING" Damage Nothing + Contents []
        "A checkpoint of an APFS container, its maps or what it keeps of memory do not fit together. A Mac goes back to an older checkpoint, and loses what came after it."
        => "Copy out what you need before a Mac writes to the volume again.";
    ApfsObject "APFS-OBJECT" Damage Place + Contents []
        "An object of APFS has a sound sum, but is not the one that belongs there: another number, type or transaction, as after a lost or misplaced write."
        => "Ask the server's disk and file system what happened to the band; restore it from elsewhere.";
    ApfsNode "APFS-NODE" Damage Place + Contents []
        "The areas, entries or free pieces of a node of an APFS tree contradict each other. A Mac may refuse to write to the tree, or overwrite records of it."
        => "Copy out what you need; do not let the Mac back up to this image before it is checked there.";
    ApfsTree "APFS-TREE" Damage Place + Contents [] ["btn: key (n) compare error", "fsroot tree is invalid."]
        "The nodes of an APFS tree do not fit together: order, levels, index keys, or what the tree says of itself. A search may miss records that are there."
        => "Copy out what you need; do not let the Mac back up to this image before it is checked there.";
    ApfsObjectMap "APFS-OMAP" Damage Nothing + Contents [] ["Object map is invalid."]
        "An object map of APFS, which tells where nodes lie, contradicts itself or what it leads to; a Mac may read an old node for a new one."
        => "Copy out what you need; do not let the Mac back up to this image before it is checked there.";
    ApfsVolume "APFS-VOLUME" Damage Nothing + Contents []
        "The superblock of an APFS volume, or the copy of it that a snapshot keeps, has an impossible value."
        => "A Mac may refuse to mount the volume; look for the band in another copy of the bundle.";
    ApfsCounts "APFS-COUNT" Warning Nothing + Contents []
        "A count in the superblock of an APFS volume is not what is on the volume."
        => "Harmless to read; a Mac corrects it (fsck_apfs).";
    ApfsRecord "APFS-RECORD" Damage Object + Contents []
        "A record of an APFS volume is too short, too long, or has parts that contradict each other; what it tells of its file cannot be relied on."
        => "Look for the file in another snapshot.";
    ApfsName "APFS-NAME" Damage Object + Contents []
        "The name of a file, folder or attribute is malformed, or stands under the wrong hash: a Mac does not find it by its name."
        => "Look for the file in another snapshot.";
    ApfsInode "APFS-INODE" Warning Object + Contents []
        "A field or flag of a file or folder contradicts what else is stored of it."
        => "Harmless to read as far as the finding does not say otherwise; look at the file before its other snapshots are deleted.";
    ApfsEntry "APFS-ENTRY" Damage Object + Contents [] ["inode_val: object (oid n): invalid parent_id"]
        "An entry of a folder and its object do not belong together: one of them is missing, or they name different parents or kinds. The object may be out of reach."
        => "Look for it in another snapshot.";
    ApfsLinks "APFS-LINKS" Warning Object + Contents []
        "The names of a file with hard links and what is stored of them contradict each other."
        => "Harmless to read; a file whose count is too small may be lost when one of its names is deleted.";
    ApfsAttribute "APFS-ATTRIBUTE" Damage Object + Contents []
        "An extended attribute is malformed or belongs to no file."
        => "One extended attribute may be lost; look for it in another snapshot.";
    ApfsStream "APFS-STREAM" Warning Object + Contents []
        "What is stored of the contents of a file and of who shares them contradicts itself. A Mac may give back blocks too early, or never."
        => "The file reads as it is: extract it now, before it or a snapshot is deleted. If fsck_apfs mends nothing of a copy of the image, start a new backup.";
    ApfsExtent "APFS-EXTENT" Damage Object + Contents []
        "The pieces of a file have gaps, lie outside the container or do not make up its size: part of its contents is lost."
        => "Look for the file in another snapshot.";
    ApfsCrypto "APFS-CRYPTO" Warning Object + Contents []
        "What is stored of the key of a file's contents contradicts the volume; a Mac may not be able to decrypt the file."
        => "Compare the file with another snapshot.";
    ApfsReference "APFS-EXTENT-REF" Damage Nothing + Contents []
        "What an APFS volume records of the blocks of files and how often they are referred to is not so. When a snapshot is deleted, blocks in use may be given to others."
        => "Files read as they are: extract what you need. Let no Mac back up to this image, which deletes old snapshots, before fsck_apfs found a copy of it sound; else start a new backup.";
    ApfsSnapshot "APFS-SNAPSHOT" Damage Nothing + Contents []
        "What is stored of a snapshot is incomplete or contradicts itself; a Mac may not list or mount it."
        => "Restore from it with tmbundle as far as it can be read; look at the snapshots before and after it.";
    ApfsSpace "APFS-SPACE" Damage Nothing + Contents []
        "The space manager of an APFS container, which says which blocks are in use, contradicts itself. A Mac may refuse to write, or write over what is in use."
        => "Copy out what you need; do not let the Mac back up to this image before it is checked there.";
    ApfsQueue "APFS-FREE-QUEUE" Damage Nothing + Contents []
        "The queue of blocks that wait to be given back contradicts itself or the space manager."
        => "Do not let the Mac back up to this image before it is checked there (fsck_apfs).";
    ApfsBitmapUnder "APFS-BITMAP-UNDER" Damage Nothing + Contents + Bitmap []
        "Blocks in use are marked free: the next write to the container may overwrite them."
        => "Do not let the Mac back up to this image before it is checked there (fsck_apfs).";
    ApfsBitmapOver "APFS-BITMAP-OVER" Warning Nothing + Contents []
        "Blocks that nothing uses are marked used: space is lost, no data."
        => "Harmless; a Mac may give them back (fsck_apfs).";
    ApfsTwice "APFS-BLOCK-TWICE" Damage Nothing + Contents []
        "A block belongs to two owners at once: at least one of them has the other's bytes, or will lose its own."
        => "Compare what is named with another snapshot; do not let the Mac back up to this image.";
    ApfsReaper "APFS-REAPER" Warning Nothing + Contents []
        "What an APFS container keeps of deletions that go on later contradicts itself."
        => "Harmless to read; space may not be given back.";
    ApfsKeybag "APFS-KEYBAG" Damage Nothing + Contents []
        "The wrapped keys of an encrypted APFS volume are damaged; a right password may not open it."
        => "Keep another copy of the bundle, if there is one; if the volume still opens, copy out what you need now.";
    ApfsEfi "APFS-EFI" Warning Nothing + Contents []
        "The driver for firmware in an APFS container is damaged; a Mac cannot start from it."
        => "Harmless for backups.";
    ApfsSeal "APFS-SEAL" Damage Place + Contents []
        "What seals a system volume does not fit it: it was changed after it was sealed, or is damaged."
        => "A system volume is no backup; let macOS install it anew.";
    ApfsCompression "APFS-COMPRESSION" Damage Object + Contents [] ["Resource Fork xattr is missing or empty for compressed file"]
        "What is stored of a compressed file contradicts itself; its contents cannot be told."
        => "Look for the file in another snapshot.";
    HeaderPrimary "HFS-HEADER" Damage Nothing + Contents [555, 561, 564]
        "The volume header is broken; the alternate was used."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    HeaderAlternate "HFS-HEADER-ALTERNATE" Damage Nothing + Contents [555, 564]
        "The alternate volume header is broken or contradicts the first."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    HeaderLost "HFS-HEADER-LOST" Damage Nothing + Contents [564]
        "Neither the volume header nor its alternate can be used."
        => "Use the band list and `verify` of the bundle to see whether the bands that held them are missing.";
    HeaderField "HFS-HEADER-FIELD" Damage Nothing + Contents [506, 507, 549, 555]
        "A field of the volume header cannot be right."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    JournalBad "HFS-JOURNAL-BAD" Damage Nothing + Contents [574]
        "The journal, or what leads to it, is not valid; the transactions before the bad one were replayed in memory."
        => "Let the Mac attach the image and repair it; the last moments of the last backup may be missing.";
    JournalDirty "HFS-JOURNAL-DIRTY" Info Nothing + Contents [611]
        "The journal held unfinished work; it was replayed in memory. Normal after a lost connection."
        => "Nothing; the Mac replays it at its next backup.";
    JournalExternal "HFS-JOURNAL-EXTERNAL" Warning Nothing + Contents [574]
        "The journal lies on another device and was not replayed."
        => "Attach the journal's device on a Mac.";
    VolumeState "HFS-VOLUME-STATE" Info Nothing + Contents []
        "The volume was not unmounted cleanly, or a Mac has marked it as inconsistent."
        => "If a Mac marked it, let it repair the volume (fsck_hfs); else nothing.";
    BtreeHeader "HFS-BTREE-HEADER" Damage Nothing + Contents [512, 514, 526, 527, 550, 557, 558]
        "The header of a B-tree cannot be right."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r rebuilds the tree).";
    BtreeUnreadable "HFS-BTREE-UNREADABLE" Damage Place + Contents []
        "A node of a B-tree cannot be read."
        => "See the finding on the band that holds it.";
    BtreeNode "HFS-BTREE-NODE" Damage Place + Contents [516, 520]
        "The structure of a B-tree node is broken: record offsets, record count or bounds."
        => "The files in this node cannot be reached; let a Mac repair the volume (fsck_hfs).";
    BtreeKind "HFS-BTREE-KIND" Damage Place + Contents [504, 515]
        "A B-tree node has the wrong kind or height for its place."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeLink "HFS-BTREE-LINK" Damage Place + Contents [518, 519]
        "A link between B-tree nodes points to the wrong node."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeTwice "HFS-BTREE-TWICE" Damage Place + Contents [521]
        "A B-tree node is reached twice: the tree has a loop or shares a branch."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeKeyLength "HFS-BTREE-KEY-LENGTH" Damage Place + Contents [523]
        "A key in a B-tree has an impossible length."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeKeyOrder "HFS-BTREE-KEY-ORDER" Damage Place + Contents [524]
        "The keys of a B-tree are out of order: some files cannot be found by name."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeIndexKey "HFS-BTREE-INDEX-KEY" Damage Place + Contents [517]
        "An index key does not equal the first key of the node it leads to."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs -r).";
    BtreeMap "HFS-BTREE-MAP" Damage Nothing + Contents [522, 525, 550]
        "The map of used nodes of a B-tree is wrong or its map nodes are."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    TmVerification "TM-VERIFICATION-FAILED" Damage Nothing []
        "The Mac verified this backup, found it bad, and insists on a new one."
        => "Save what you need with extract or mount before the Mac starts a new backup.";
    TmBlocked "TM-BLOCKED" Warning Nothing []
        "The user put off the new backup the Mac asked for; until it starts, nothing is backed up."
        => "Answer the Mac's question, after saving what you need.";
    TmStale "TM-STALE" Warning Nothing []
        "The last completed backup is older than --max-age allows. The exit code is 1, but nothing is damaged."
        => "Look at the Mac: whether it is on, whether the share is full, whether its backups are blocked.";
    TmAgeUnknown "TM-AGE-UNKNOWN" Warning Nothing []
        "--max-age was asked for, but nothing that can be read tells when the last backup was completed."
        => "Give the password, or verify without --quick; else find out why the history in the bundle cannot be read.";
    TmNeverCompleted "TM-NEVER-COMPLETED" Warning Nothing []
        "Time Machine has written here, but no backup was ever completed."
        => "Look whether the share is full and whether the Mac reports an error.";
    TmUnfinished "TM-UNFINISHED" Info Nothing []
        "A snapshot is in progress, or was interrupted."
        => "Nothing; the Mac goes on with it or removes it.";
    TmNeverCompletes "TM-NEVER-COMPLETES" Warning Nothing []
        "Bands are still being written long after the last backup completed: the Mac tries and does not finish."
        => "Look whether the share is full, and at what the Mac says of its last backup.";
    TmHost "TM-HOST" Warning Nothing []
        "The bundle and the volume in it name different Macs."
        => "Normal after a Mac was replaced and inherited the backups; else find out who mixed them up.";
    TmDates "TM-DATES" Warning Nothing []
        "The dates of a snapshot contradict each other, its name or the clock."
        => "Do not rely on the order of snapshots by date; look at the clocks of the Mac and the server.";
    TmOrder "TM-ORDER" Warning Nothing []
        "The numbers of the snapshots do not grow with their dates."
        => "Usually from a restored or merged backup; do not rely on their order.";
    TmState "TM-STATE" Info Nothing []
        "A completed snapshot has another recorded state than the rest."
        => "Nothing, unless this snapshot lacks files.";
    TmStructure "TM-STRUCTURE" Info Nothing []
        "The folders of the backups lack a mark that Time Machine always sets."
        => "A Mac may not take them for its own; extract and mount read them all the same.";
    TmIncomplete "TM-INCOMPLETE" Warning Nothing []
        "A snapshot holds no volume, as when its deletion was interrupted."
        => "Do not rely on this snapshot; the others are not concerned.";
    TmLatest "TM-LATEST" Warning Nothing []
        "The link 'Latest' does not lead to the newest completed snapshot."
        => "Use the snapshot's name; the Mac sets the link at its next backup.";
    TmHistory "TM-HISTORY" Warning Nothing []
        "The bundle's history and the snapshots on the volume do not agree."
        => "If the last backup is missing on the volume, look at the journal and the volume's findings.";
    TmUnreadable "TM-UNREADABLE" Damage Nothing []
        "Part of the folders that hold the snapshots cannot be read."
        => "See the findings on the volume.";
    FileUnreadable "FILE-UNREADABLE" Damage Object + Contents []
        "A file's contents, resource fork or attribute cannot be read (found by --read-data)."
        => "Look for the file in another snapshot; if the disk reports errors, copy the bundle now.";
    FileDecmpfs "FILE-DECMPFS" Damage Object + Contents []
        "A compressed file's contents cannot be decompressed (found by --read-data)."
        => "Look for the file in another snapshot.";
    FileUndecoded "FILE-UNDECODED" Warning Object + Contents []
        "A file is compressed in a way that tmbundle does not know, or its contents were only in iCloud when it was backed up (found by --read-data)."
        => "The stored bytes were read but not checked; a Mac may decode them.";
    FileChecksum "FILE-CHECKSUM" Damage Object + Contents []
        "A file's contents do not match the checksum Time Machine recorded when it copied the file (found by --read-data)."
        => "The contents changed after the backup was made: look for the file in another snapshot.";
    FileChecksumRule "FILE-CHECKSUM-RULE" Warning Object + Contents []
        "Next to none of the recorded checksums agree with the contents: the rule by which they are made is not understood for this backup (found by --read-data)."
        => "Compare one of the files with the original; if it differs, treat the backup as damaged.";
    FileChecksumOdd "FILE-CHECKSUM-ODD" Warning Object + Contents []
        "A recorded checksum is not four bytes long, so the file was not compared with it (found by --read-data)."
        => "Harmless if the file opens; nothing can be said about its contents.";
    BtreeUnused "HFS-BTREE-UNUSED" Info Nothing + Contents [608]
        "A node that is not in use is not zero, though this volume promises it."
        => "Harmless; a Mac clears it at the next repair.";
    BtreeSplit "HFS-BTREE-SPLIT" Warning Nothing + Contents [615]
        "A B-tree node of a journaled volume straddles two extents."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    CatalogRecord "HFS-CATALOG-RECORD" Damage Object + Contents [528, 529, 530, 531, 537]
        "A catalog record has an unknown type or an impossible length."
        => "The file or folder it described is lost in this snapshot; let a Mac repair the volume.";
    CatalogName "HFS-CATALOG-NAME" Damage Object + Contents [503, 536, 571]
        "A name in the catalog is empty, too long or not allowed."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    CatalogId "HFS-CATALOG-ID" Damage Object + Contents [560]
        "A CNID in the catalog is impossible or stands twice."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    CatalogThread "HFS-CATALOG-THREAD" Damage Object + Contents [505, 532, 533, 534, 535, 572]
        "A file or folder and its thread record do not belong together, or one of them is missing."
        => "The object may be unreachable by number; let a Mac repair the volume (fsck_hfs).";
    CatalogOrphan "HFS-CATALOG-ORPHAN" Damage Object + Contents [534]
        "Files or folders lie in a folder that does not exist."
        => "They cannot be reached by any path; let a Mac repair the volume (fsck_hfs).";
    CatalogLoop "HFS-CATALOG-LOOP" Damage Object + Contents [538, 590, 591]
        "A folder is its own ancestor."
        => "What is in it cannot be reached from the root; let a Mac repair the volume (fsck_hfs).";
    CatalogDepth "HFS-CATALOG-DEPTH" Warning Object + Contents [545]
        "Folders are nested more than 100 deep."
        => "Harmless to read; old versions of macOS cannot.";
    CatalogFlags "HFS-CATALOG-FLAGS" Warning Object + Contents [546, 547, 551]
        "Flags of a catalog record that must be clear are set."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    CatalogMode "HFS-CATALOG-MODE" Warning Object + Contents [569]
        "The POSIX mode of an object contradicts its record: a folder that claims to be a file, or the reverse."
        => "Check the permissions of what you restore; let a Mac repair the volume.";
    CatalogValence "HFS-CATALOG-VALENCE" Warning Object + Contents [502]
        "A folder's count of its entries is wrong."
        => "The entries are all there; a Mac corrects the count (fsck_hfs).";
    CatalogFolderCount "HFS-CATALOG-FOLDER-COUNT" Warning Object + Contents [580, 581]
        "A folder's count of the folders in it is wrong."
        => "Harmless to read; a Mac corrects the count (fsck_hfs).";
    SymlinkBad "HFS-SYMLINK" Warning Object + Contents [616, 617]
        "A symbolic link has an impossible target."
        => "The link cannot be restored as it was.";
    ForkExtent "HFS-FORK-EXTENT" Damage Object + Contents [510]
        "A fork claims blocks that the volume does not have, or its extents are garbled."
        => "The file's contents are lost from there on; look for the file in another snapshot.";
    ForkBlocks "HFS-FORK-BLOCKS" Damage Object + Contents [500, 543, 544]
        "A fork's block count is not the sum of its extents."
        => "Part of the file may be out of reach; look for it in another snapshot.";
    ForkSize "HFS-FORK-SIZE" Damage Object + Contents [501]
        "A fork is longer than the blocks it has."
        => "The end of the file is lost; look for it in another snapshot.";
    ForkOverlap "HFS-FORK-OVERLAP" Damage Object + Contents [511, 563, 607]
        "Blocks belong to two forks at once: at least one of the files has the other's bytes."
        => "Compare the files with those in another snapshot.";
    OverflowOrphan "HFS-OVERFLOW-ORPHAN" Warning Object + Contents [552]
        "The extents file has extents for a fork that does not need them or does not exist."
        => "Harmless to read; let a Mac repair the volume (fsck_hfs).";
    LinkOrphan "HFS-LINK-ORPHAN" Damage Object + Contents [584, 596, 603, 604]
        "A hard link leads to an inode that does not exist: the file or folder is lost under this name."
        => "Look for it in another snapshot.";
    InodeOrphan "HFS-INODE-ORPHAN" Warning Object + Contents [605, 606]
        "An inode has no link that leads to it: its file or folder has lost its names."
        => "It can be read under its number in the private folder; let a Mac repair the volume.";
    InodeUnlinked "HFS-INODE-UNLINKED" Info Object + Contents [568]
        "A file was deleted while open and never removed, as after a crash."
        => "Harmless; a Mac removes it.";
    InodePlace "HFS-INODE-PLACE" Warning Object + Contents [584, 585, 596, 597]
        "An inode has the wrong name for its number."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    LinkCount "HFS-LINK-COUNT" Warning Object + Contents [567, 586, 598, 614]
        "The link count of a file or folder is not the number of its links."
        => "Harmless to read; let a Mac repair it before backups are deleted.";
    LinkChain "HFS-LINK-CHAIN" Warning Object + Contents [593, 594, 600]
        "The chain that connects the hard links of an object is broken."
        => "Harmless to read; let a Mac repair it before backups are deleted.";
    LinkFlags "HFS-LINK-FLAGS" Warning Object + Contents [583, 587, 588, 589, 595, 599, 601, 602, 612, 613]
        "A hard link, its inode or a folder above it has wrong flags or Finder information."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    LinkDate "HFS-LINK-DATE" Info Object + Contents [610]
        "A file hard link's creation date is neither the root's nor the private folder's."
        => "Harmless; some systems do not follow such a link.";
    PrivateFolder "HFS-PRIVATE-FOLDER" Warning Object + Contents [582, 592]
        "The private folder of linked folders is missing or has wrong permissions."
        => "Copy the backup first, since a repair cannot be undone; then let a Mac repair the volume (fsck_hfs).";
    AttributeRecord "HFS-ATTRIBUTE-RECORD" Damage Object + Contents [579]
        "A record of the attributes file has an unknown type or does not fit."
        => "One extended attribute is lost; the file itself is not.";
    AttributeFork "HFS-ATTRIBUTE-FORK" Damage Object + Contents [577, 578]
        "An attribute's blocks do not make up its size."
        => "One extended attribute is lost; the file itself is not.";
    AclBad "HFS-ACL" Warning Object + Contents []
        "An access control list cannot be decoded."
        => "The object is restored without it.";
    AttributeFlags "HFS-ATTRIBUTE-FLAGS" Warning Object + Contents [575, 576]
        "An object's flags do not say truly whether it has extended attributes, an access control list or compressed contents."
        => "Harmless to read; let a Mac repair the volume (fsck_hfs).";
    BitmapUnder "HFS-BITMAP-UNDER" Damage Nothing + Contents + Bitmap [556]
        "Blocks in use are marked free: the next write to the volume may overwrite them."
        => "Do not let the Mac back up to this image before it is repaired (fsck_hfs).";
    BitmapOver "HFS-BITMAP-OVER" Warning Nothing + Contents [609]
        "Blocks that nothing uses are marked used: space is lost, no data."
        => "A Mac reclaims them (fsck_hfs).";
    BitmapUnreadable "HFS-BITMAP-UNREADABLE" Damage Nothing + Contents + Bitmap []
        "The allocation file cannot be read, or is too short for the volume."
        => "See the finding on the band that holds it.";
    VolumeCounts "HFS-VOLUME-COUNTS" Warning Nothing + Contents [541, 542, 553, 555]
        "A count in the volume header is not what is on the volume."
        => "Harmless to read; a Mac corrects it (fsck_hfs).";
}
