//! The codes of `tmbundle doctor`: what can be wrong with a server, by the numbers of the rule
//! book that the tests hold them to.

use super::code::{CodeInfo, Subject};
use super::{Quality, Severity};

// Variant "NAME" "rule" severity, "what it means, and what a Mac does" => "what to do".
macro_rules! server_codes {
    ($($variant:ident $name:literal $rule:literal $severity:ident
        $meaning:literal => $remedy:literal;)*) => {
        /// A kind of finding about a server and its configuration.
        // Sections are called as they stand in the files, in brackets: no links.
        #[allow(rustdoc::broken_intra_doc_links)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ServerCode {
            $(#[doc = $meaning] $variant,)*
        }

        impl ServerCode {
            /// Every code, in the order of the page.
            pub const ALL: &[ServerCode] = &[$(ServerCode::$variant,)*];

            /// The number of its rule, `D001`.
            pub fn rule(self) -> &'static str {
                match self { $(ServerCode::$variant => $rule,)* }
            }

            /// Name, severity, meaning and remedy.
            pub fn info(self) -> &'static CodeInfo {
                match self {
                    $(ServerCode::$variant => &CodeInfo {
                        name: $name,
                        severity: Severity::$severity,
                        about: Subject::Nothing,
                        qualities: &[] as &[Quality],
                        fsck_hfs: &[],
                        apfs: &[],
                        meaning: $meaning,
                        remedy: $remedy,
                    },)*
                }
            }
        }
    };
}

server_codes! {
    ConfFatal "SRV-CONF-FATAL" "D001" Damage
        "A line of smb.conf that Samba cannot take: smbd does not start, and one that runs keeps only what stands before the line when it reloads."
        => "Correct the line; `testparm` says whether Samba takes the file.";
    ConfUnknownKey "SRV-CONF-UNKNOWN-KEY" "D002" Warning
        "A name of an option that Samba does not know; the line does nothing."
        => "Correct the name or remove the line.";
    ConfIncludeMissing "SRV-CONF-INCLUDE-MISSING" "D003" Warning
        "An included file does not exist; Samba passes over it without a word."
        => "Correct the path or remove the line.";
    ConfRegistry "SRV-CONF-REGISTRY" "D004" Info
        "Samba takes shares from its registry, which only root may read; nothing is known of them here."
        => "Run it as root, or look at `net conf list`.";
    ShareTwice "SRV-SMB-SHARE-TWICE" "D005" Damage
        "A share is begun a second time: Samba forgets every option with a colon that the first part had, `fruit:time machine` among them."
        => "Join the two sections.";
    CommentInValue "SRV-CONF-COMMENT-IN-VALUE" "D006" Damage
        "Behind a value stands a comment, which Samba takes for a part of the value: the option is off, or has no limit."
        => "Give the comment a line of its own.";
    Typographic "SRV-CONF-TYPOGRAPHIC" "D007" Damage
        "Typographic quotes, dashes or no-break blanks, as web pages and word processors make them; the server does not understand the line."
        => "Write the line in plain ASCII.";
    Escaped "SRV-CONF-ESCAPED" "D008" Damage
        "Something is escaped as web pages do it (`\\_`, `&quot;`); the server takes it literally and finds nothing of that name."
        => "Write the line without it.";
    LineIgnored "SRV-CONF-LINE-IGNORED" "D010" Warning
        "A line of smb.conf that is no comment and has no `=`; Samba passes over it without a word."
        => "Join it to the line it belongs to, or remove it.";
    NoPath "SRV-SMB-NO-PATH" "D011" Damage
        "A share without a path; Samba does not offer it."
        => "Say `path = …` in the share.";
    PathOdd "SRV-SMB-PATH-ODD" "D012" Damage
        "A path that is no path to Samba: single quotes, backslashes and `~` mean nothing to it, and it must begin with `/`. The share cannot be opened."
        => "Write the path as it is, blanks included.";
    NameBlank "SRV-SMB-NAME-BLANK" "D013" Damage
        "A blank stands directly inside the brackets of a share's name, so it is another share."
        => "Write the name without it.";
    NoTimeMachine "SRV-SMB-NO-TM" "D020" Damage
        "No share for Time Machine was found: none, or none that the bundles lie in, says `fruit:time machine = yes`; Macs are never offered it."
        => "Add `fruit:time machine = yes` to the share.";
    TmNotBoolean "SRV-SMB-TM-NOT-BOOLEAN" "D021" Damage
        "`fruit:time machine` has a value that is neither yes nor no; Samba takes it for no and says nothing."
        => "Write `fruit:time machine = yes`.";
    NoFruit "SRV-SMB-NO-FRUIT" "D022" Damage
        "The share is for Time Machine, but the module fruit is not in its `vfs objects` (a share's list replaces the global one); Macs refuse it."
        => "Add fruit and streams_xattr to the list.";
    NoStreams "SRV-SMB-NO-STREAMS" "D023" Damage
        "No streams module stands behind fruit: the share claims to be for Time Machine, and then every stream fails."
        => "Add streams_xattr behind fruit.";
    VfsOrder "SRV-SMB-ORDER" "D024" Warning
        "The streams module stands before fruit; it works, but Finder's metadata is stored so that other settings cannot read it."
        => "Put fruit before streams_xattr, before there are backups.";
    Encoding "SRV-SMB-ENCODING" "D025" Info
        "`fruit:encoding = native` without the module catia; names with odd characters look different on the Mac."
        => "Put catia before fruit.";
    Module "SRV-SMB-MODULE" "D026" Damage
        "A module in `vfs objects` does not exist; the share cannot be opened."
        => "Correct the name, or install the module (package samba-vfs-modules on Debian 12 and older).";
    ListQuoted "SRV-SMB-LIST-QUOTED" "D027" Damage
        "The list of `vfs objects` stands in quotes, which makes one module of it, of a name that does not exist; the share cannot be opened."
        => "Write the list without quotes.";
    FruitEnum "SRV-SMB-FRUIT-ENUM" "D028" Damage
        "An option of fruit has a word that fruit does not know; the share cannot be opened."
        => "Use one of the words that vfs_fruit(8) lists.";
    FruitMixed "SRV-SMB-FRUIT-MIXED" "D029" Warning
        "Some shares have fruit and this one has not; a Mac that opens it first gets no Apple extensions for the others either."
        => "Put fruit and streams_xattr into `vfs objects` of [global].";
    GlobalOnly "SRV-SMB-GLOBAL-ONLY" "D030" Info
        "An option of fruit that counts in [global] only stands in a share; it does nothing."
        => "Move it to [global].";
    AaplOff "SRV-SMB-AAPL-OFF" "D031" Damage
        "`fruit:aapl = no` turns Apple's extensions off, and Time Machine with them."
        => "Remove the line.";
    TmEverywhere "SRV-SMB-TM-EVERYWHERE" "D032" Warning
        "`fruit:time machine = yes` in [global] offers printers, homes and IPC$ as backup disks, too."
        => "Move it to the share that is meant.";
    ReadOnly "SRV-SMB-READ-ONLY" "D033" Damage
        "A share for Time Machine may not be written to; Macs are offered it and fail."
        => "Say `read only = no` in the share, and take its users out of `read list`.";
    LimitUnread "SRV-SMB-LIMIT-UNREAD" "D034" Damage
        "A size that Samba cannot read: the share has no limit, and the Mac fills the disk."
        => "Write a whole number and one of K, M, G, T, P, as `500G`.";
    LimitTiny "SRV-SMB-LIMIT-TINY" "D035" Damage
        "The limit is smaller than any backup (a number without a letter is in bytes); the Mac sees a full disk."
        => "Write a letter behind the number, as `500G`.";
    LimitBeyondDisk "SRV-SMB-LIMIT-BEYOND-DISK" "D036" Damage
        "The limit is more than there is room for; Macs are told of space that is not there and fail in the midst of a backup."
        => "Lower the limit below what the disk can hold.";
    LimitBelowUsed "SRV-SMB-LIMIT-BELOW-USED" "D037" Damage
        "The bundles are larger than the limit; Macs are told that nothing is free."
        => "Raise the limit, or give the Mac time to delete old backups.";
    NoLimit "SRV-SMB-NO-LIMIT" "D038" Info
        "A share for Time Machine without a limit; Macs fill the disk before they delete old backups."
        => "Say `fruit:time machine max size = …`, unless the share has a disk or a quota of its own.";
    OtherData "SRV-SMB-OTHER-DATA" "D039" Warning
        "Other data lies in a share with a limit; Samba does not count it, so the disk may be full before the limit is met."
        => "Give Time Machine a folder of its own.";
    Uncounted "SRV-SMB-UNCOUNTED" "D040" Warning
        "A bundle that Samba does not count against the share's limit; it may fill the disk unseen."
        => "Give it a share of its own.";
    Limit32Bit "SRV-SMB-LIMIT-32BIT" "D041" Warning
        "A 32-bit Samba up to 4.17 cannot count beyond 4 GiB: with a limit it fails to tell Macs how much room there is (`tmsize potential overflow` in its log)."
        => "Use a 64-bit system or a newer Samba, or remove the limit.";
    LimitOverridden "SRV-SMB-LIMIT-OVERRIDDEN" "D042" Warning
        "`dfree command` or `max disk size` is what Macs are told of the room that is left, not Time Machine's limit."
        => "Remove it for the share.";
    OplocksOff "SRV-SMB-OPLOCKS-OFF" "D043" Damage
        "`oplocks = no`: there are no durable handles, and a backup breaks whenever the network does."
        => "Remove the line.";
    LeasesOff "SRV-SMB-LEASES-OFF" "D044" Damage
        "`smb2 leases = no`: there are no durable handles, and a backup breaks whenever the network does."
        => "Remove the line.";
    KernelOplocks "SRV-SMB-KERNEL-OPLOCKS" "D045" Damage
        "`kernel oplocks = yes` in [global]: no share has durable handles, and a backup breaks whenever the network does."
        => "Write `kernel oplocks = no`, or remove the line.";
    OldProtocol "SRV-SMB-PROTOCOL" "D046" Damage
        "`server max protocol` is below SMB3: no durable handles for Time Machine, or no Mac connects at all."
        => "Remove the line.";
    Overridden "SRV-SMB-OVERRIDDEN" "D047" Info
        "The line does nothing: fruit sets the contrary for shares that are for Time Machine."
        => "Remove the line.";
    NoSync "SRV-SMB-NO-SYNC" "D048" Warning
        "`strict sync = no`: what the Mac takes for safely stored may be lost when the power fails."
        => "Write `strict sync = yes`.";
    SyncAlways "SRV-SMB-SYNC-ALWAYS" "D049" Info
        "`sync always = yes` makes backups slow and nothing safer that a Mac asks for."
        => "Remove the line.";
    Recycle "SRV-SMB-RECYCLE" "D050" Warning
        "The recycle bin keeps bands that the Mac deleted; they fill the disk and nobody counts them."
        => "Give the share a `vfs objects` of its own without it.";
    Veto "SRV-SMB-VETO" "D051" Damage
        "`veto files` forbids names that Time Machine needs; no bundle can be made."
        => "Take the pattern out; `/._*/.DS_Store/` does no harm.";
    Masks "SRV-SMB-MASKS" "D052" Damage
        "The mask takes from the owner what he needs of his own files and folders; a bundle cannot be made."
        => "Write 0600 for files and 0700 for folders, or more.";
    ForceUser "SRV-SMB-FORCE-USER" "D053" Damage
        "`force user` names a user who does not exist or may not write into the share."
        => "Give the folder to that user, or remove the line.";
    ValidUsers "SRV-SMB-VALID-USERS" "D054" Damage
        "A name in `valid users` is no user; a group needs an @ before it. Who is meant is refused."
        => "Write `@group` for a group, or correct the name.";
    PathUser "SRV-SMB-PATH-USER" "D055" Damage
        "The share's path depends on the user, and for a user who may use it there is no such folder."
        => "Make the folder and give it to the user.";
    Guest "SRV-SMB-GUEST" "D056" Info
        "The share is for guests: whoever is in the network may delete the backups."
        => "Name the users who may use it: `valid users = …`.";
    NotReachable "SRV-SMB-NOT-REACHABLE" "D057" Damage
        "Samba answers nobody but this machine itself."
        => "Take the network's interface into `interfaces`, or the network into `hosts allow`.";
    Ntlm "SRV-SMB-NTLM" "D058" Damage
        "`ntlm auth = disabled` on a server without Kerberos: nobody can log in."
        => "Write `ntlm auth = ntlmv2-only`.";
    Ineffective "SRV-SMB-INEFFECTIVE" "D059" Info
        "An option that Samba never had, has no longer, or that makes it slower."
        => "Remove the line.";
    NfsAces "SRV-SMB-NFS-ACES" "D060" Info
        "`fruit:nfs_aces` is on and this Samba is older than 4.22; newer Macs may make folders that nobody may enter."
        => "Write `fruit:nfs_aces = no` in [global].";
    SambaOld "SRV-SMB-OLD" "D061" Damage
        "Samba before 4.8 knows nothing of Time Machine."
        => "Update Samba.";
    NoPassword "SRV-SMB-NO-PASSWORD" "D062" Damage
        "Who may use the share has no password with Samba, which keeps its own; the log-in is refused."
        => "Give one: `smbpasswd -a USER`.";
    Unavailable "SRV-SMB-UNAVAILABLE" "D063" Damage
        "`available = no`: the share for Time Machine is switched off."
        => "Remove the line.";
    SidChanged "SRV-SMB-SID-CHANGED" "D064" Damage
        "The server has another name than before, and Samba's cache still has users under the old one, for up to a week: a Mac makes a folder and may not write into it (error 13)."
        => "Empty the cache (`net cache flush`), and fix the name with `netbios name`.";
    MetadataMix "SRV-SMB-METADATA-MIX" "D065" Warning
        "Files have their Finder metadata where `fruit:metadata` of the share does not look; it cannot be seen there."
        => "Keep the setting with which the files were written.";
    TwoSharesOnePath "SRV-SMB-TWO-SHARES-ONE-PATH" "D066" Info
        "Two shares for Time Machine have one path; the limit of each counts the bundles of both."
        => "One share will do, or give each a folder of its own.";
    AfpNoTm "SRV-AFP-NO-TM" "D100" Damage
        "No volume says `time machine = yes`; Macs are never offered one."
        => "Add `time machine = yes` to the volume.";
    AfpTmNotBoolean "SRV-AFP-TM-NOT-BOOLEAN" "D101" Damage
        "`time machine` has a value that Netatalk takes for no: only yes, true and 1 are yes."
        => "Write `time machine = yes`.";
    AfpUnknownKey "SRV-AFP-UNKNOWN-KEY" "D102" Warning
        "A name of an option that this Netatalk does not know; the line does nothing."
        => "Correct the name or remove the line.";
    AfpLimitUnit "SRV-AFP-LIMIT-UNIT" "D103" Damage
        "`vol size limit` is a plain number of MiB; Netatalk reads the digits up to the first other character, so that `1T` is 1 MiB."
        => "Write the number of MiB in digits alone.";
    AfpLimitOdd "SRV-AFP-LIMIT-ODD" "D104" Warning
        "`vol size limit` is in MiB; this number is too small for a backup, or far more than the disk."
        => "Look whether MiB are meant.";
    AfpLowerCase "SRV-AFP-LOWER-CASE" "D105" Warning
        "Since 4.2 Netatalk takes a section's name in lower case for the volume's; after an update Macs see another volume and start anew."
        => "Say `volume name = …` with the name as it was.";
    AfpNamesMerge "SRV-AFP-NAMES-MERGE" "D106" Damage
        "Two sections differ in upper and lower case only; since 4.2 Netatalk makes one volume of them."
        => "Give one of them another name.";
    AfpSamePath "SRV-AFP-SAME-PATH" "D107" Damage
        "Two volumes have one path; Netatalk serves the first only."
        => "Give each a folder of its own.";
    AfpNested "SRV-AFP-NESTED" "D108" Warning
        "A volume lies within another volume's folder; Netatalk 4.5 leaves one of the two out."
        => "Move one of them.";
    AfpColon "SRV-AFP-COLON" "D109" Damage
        "A volume's name has a colon in it; Netatalk drops the volume."
        => "Give it a name without.";
    AfpInclude "SRV-AFP-INCLUDE" "D110" Damage
        "`include` does nothing since Netatalk 4.2; what the file says is not there."
        => "Put the file's lines here.";
    AfpSyntax "SRV-AFP-SYNTAX" "D111" Damage
        "A line that is neither section nor comment and has no `=`; Netatalk 4 does not start."
        => "Join it to the line before, or remove it.";
    AfpHomes "SRV-AFP-HOMES" "D112" Damage
        "[Homes] without `basedir regex` gives no volume to anybody."
        => "Say `basedir regex = /home`.";
    AfpCnid "SRV-AFP-CNID" "D113" Damage
        "A `cnid scheme` that this Netatalk has not; the volume cannot be opened, or is read-only."
        => "Remove the line.";
    AfpCnidPort "SRV-AFP-CNID-PORT" "D114" Damage
        "`cnid listen` and `cnid server` are not the same place; volumes cannot be opened."
        => "Set both, or remove both.";
    AfpUam "SRV-AFP-UAM" "D115" Damage
        "`uam list` has no log-in that today's Macs use; they refuse to connect, or nobody can log in."
        => "Write `uam list = uams_dhx2.so`.";
    AfpEa "SRV-AFP-EA" "D116" Warning
        "`ea` names extended attributes, and the file system under the volume has none; metadata is lost."
        => "Write `ea = ad` (Netatalk 4.5 and later), or use another file system.";
    AfpQuotes "SRV-AFP-QUOTES" "D117" Damage
        "Netatalk 3 keeps the quotes round a path, and finds no such folder."
        => "Write the path without quotes.";
    AfpNoLimit "SRV-AFP-NO-LIMIT" "D118" Info
        "A volume for Time Machine without a limit; Macs fill the disk before they delete old backups."
        => "Say `vol size limit = …` (MiB), unless the volume has a disk or a quota of its own.";
    AfpAccess "SRV-AFP-ACCESS" "D119" Damage
        "The volume is hidden from its user or may not be written to."
        => "Correct `valid users`, `read only` and `rolist`.";
    AfpOldFiles "SRV-AFP-OLD-FILES" "D120" Warning
        "Configuration of Netatalk 2 lies beside afp.conf; newer Netatalks do not read it."
        => "Move what is still needed to afp.conf.";
    AfpNoZeroconf "SRV-AFP-NO-ZEROCONF" "D121" Warning
        "`zeroconf = no` and no service file that announces the volumes; Macs do not list them."
        => "Write `zeroconf = yes`.";
    AfpLimits "SRV-AFP-LIMITS" "D122" Damage
        "Netatalk may not open as many files as its cnid_metad asks for (65535): that program ends, and no volume can be opened."
        => "In a container `--ulimit nofile=65536:65536`, of systemd `LimitNOFILE=65536`.";
    AfpGoingAway "SRV-AFP-GOING-AWAY" "D124" Info
        "Backups are offered over AFP only, which is going away from macOS."
        => "Offer them through Samba with fruit.";
    Na2NoTm "SRV-NA2-NO-TM" "D200" Damage
        "The volume has no `tm` among its options; Macs say that the server lacks the required AFP features."
        => "Write `options:usedots,upriv,tm`.";
    Na2LooseWord "SRV-NA2-LOOSE-WORD" "D201" Damage
        "More than one word without a colon stands behind the path: the last is the volume's name, the others are nothing."
        => "Write the options without blanks, and quote a name with blanks.";
    Na2BlankInPath "SRV-NA2-BLANK-IN-PATH" "D202" Damage
        "The path has a blank and no quotes, or a backslash, which is no escape; the folder is not found and the volume is hidden."
        => "Put the path in double quotes.";
    Na2Wrapped "SRV-NA2-WRAPPED" "D203" Damage
        "A line that is the rest of the one before: Netatalk passes over it without a word."
        => "Join it to the line before.";
    Na2Comment "SRV-NA2-COMMENT" "D205" Warning
        "A comment behind a volume's line; its last word becomes the volume's name."
        => "Give the comment a line of its own.";
    Na2UnclosedQuote "SRV-NA2-UNCLOSED-QUOTE" "D206" Damage
        "A quote is not closed and swallows the rest of the line, options included."
        => "Close the quote.";
    Na2Limit "SRV-NA2-LIMIT" "D207" Damage
        "`volsizelimit` is a plain number of MiB below 4294967296; this is read as something else, or as no limit."
        => "Write the number of MiB in digits, directly behind the colon.";
    Na2NoLimit "SRV-NA2-NO-LIMIT" "D208" Warning
        "A volume for Time Machine without `volsizelimit`; the Mac is not told in time when the disk is full."
        => "Say `volsizelimit:N` (MiB).";
    Na2Allow "SRV-NA2-ALLOW" "D209" Damage
        "`allow:` does not name who is meant: a blank ends the list, a group needs an @, or there is no such user."
        => "Write names with commas and no blanks, groups as `@group`.";
    Na2KeyCase "SRV-NA2-KEY-CASE" "D210" Damage
        "A key that Netatalk does not know; keys are in lower case."
        => "Write it in lower case.";
    Na2Separator "SRV-NA2-SEPARATOR" "D211" Damage
        "Options are separated by something else than commas; Netatalk knows no option of that name."
        => "Separate options by commas.";
    Na2Colon "SRV-NA2-COLON" "D212" Warning
        "A volume's name with a colon is taken for an option that does not exist."
        => "Give it a name without.";
    Na2Upriv "SRV-NA2-UPRIV" "D213" Info
        "A volume for Time Machine without `upriv` or `usedots`; names and modes come out odd."
        => "Add them to its options.";
    Na2Cnid "SRV-NA2-CNID" "D214" Warning
        "`cnidscheme` is not dbd; Netatalk uses another database, or one that is thrown away."
        => "Write `cnidscheme:dbd`.";
    Na2Uam "SRV-NA2-UAM" "D215" Damage
        "`-uamlist` has no DHX2, by which Macs since Mac OS X 10.7 log in."
        => "Write `-uamlist uams_dhx.so,uams_dhx2.so`, without blanks in the list.";
    Na2Flag "SRV-NA2-FLAG" "D216" Warning
        "A flag in afpd.conf that Netatalk does not know; it does nothing."
        => "Begin flags with a plain `-` and put a blank before their value.";
    Na2DefaultUam "SRV-NA2-DEFAULT-UAM" "D217" Info
        "AFPD_UAMLIST differs from `-uamlist` in afpd.conf, which wins."
        => "Say it in one place.";
    Na2CnidMetad "SRV-NA2-CNID-METAD" "D218" Damage
        "The database that keeps file numbers, or the server itself, is switched off."
        => "Write `CNID_METAD_RUN=yes` and `AFPD_RUN=yes`.";
    Na2Ldap "SRV-NA2-LDAP" "D219" Damage
        "A log-in module reads /etc/shadow only, and users come from elsewhere, too; they are refused."
        => "Use uams_dhx2.so, which asks PAM.";
    Na2Old "SRV-NA2-OLD" "D220" Damage
        "The AFP server does not speak AFP 3.3 (Netatalk does since 2.2); Macs since Mac OS X 10.7 refuse it for Time Machine."
        => "Update Netatalk, or use Samba.";
    Na2Twice "SRV-NA2-TWICE" "D221" Warning
        "Two volumes have one name; the second is not there."
        => "Give it another name.";
    Na2PathMissing "SRV-NA2-PATH-MISSING" "D222" Damage
        "The volume's folder does not exist; the volume is hidden."
        => "Make the folder, or mount its disk.";
    Na2NoTcp "SRV-NA2-NO-TCP" "D223" Damage
        "`-notcp`: the server does not listen on port 548, and no Mac can connect."
        => "Write `-tcp`.";
    PamModule "SRV-PAM-MODULE-MISSING" "D230" Damage
        "PAM requires a module that does not exist; nobody can log in over AFP."
        => "Remove the line.";
    PamEcryptfs "SRV-PAM-ECRYPTFS" "D231" Info
        "A PAM module that was seen to break the log-in of Netatalk 2."
        => "Comment the line out if nobody can log in.";
    LoginAccount "SRV-LOGIN-ACCOUNT" "D232" Damage
        "A user who may use the share has an account that is locked or expired."
        => "Unlock the account (`usermod -U`, `chage`).";
    MdnsNoAdisk "SRV-MDNS-NO-ADISK" "D300" Damage
        "Nobody announces the share as a backup disk; Macs do not list it, though it can be mounted by hand."
        => "Add a line `dk0=adVN=SHARE,adVF=0x82` to the `_adisk._tcp` service.";
    MdnsName "SRV-MDNS-NAME" "D301" Damage
        "A backup disk is announced under a name that no share has; choosing it fails."
        => "Write the share's name exactly as the server has it.";
    MdnsFlags "SRV-MDNS-FLAGS" "D302" Damage
        "The flags of an announced disk name a protocol by which it is not offered, or do not say Time Machine."
        => "Write `adVF=0x82` for SMB, `adVF=0x81` for AFP.";
    MdnsTwice "SRV-MDNS-TWICE" "D303" Warning
        "A service file announces what the server announces itself: one of the two is dropped, or Macs list the server twice."
        => "Delete the service file, or say `multicast dns register = no` (Samba) or `zeroconf = no` (Netatalk).";
    MdnsSambaAndAfp "SRV-MDNS-SAMBA-AND-AFP" "D304" Warning
        "smbd and afpd announce themselves under one name; who comes second is dropped without a word, and its backup disks with it."
        => "Give one of them another name (`server name` of Netatalk 4, `netbios name` of Samba), or let Netatalk be silent: `zeroconf = no`.";
    MdnsXml "SRV-MDNS-XML" "D305" Damage
        "A service file that Avahi cannot read; nothing of it is announced."
        => "Correct the file; `&` is written `&amp;`.";
    MdnsPercentH "SRV-MDNS-PERCENT-H" "D306" Warning
        "`%h` without replace-wildcards: the server is announced under the name %h."
        => "Write `<name replace-wildcards=\"yes\">%h</name>`.";
    MdnsPort "SRV-MDNS-PORT" "D307" Damage
        "A service is announced on a port where the server does not listen; Macs cannot connect."
        => "Write the server's port.";
    MdnsNoService "SRV-MDNS-NO-SERVICE" "D308" Damage
        "Backup disks are announced, but not the file service they are reached by."
        => "Add the service `_smb._tcp` (port 445) or `_afpovertcp._tcp` (port 548) to the file.";
    MdnsTxtBlanks "SRV-MDNS-TXT-BLANKS" "D309" Damage
        "Blanks or line ends stand within a txt-record and become a part of it; Macs cannot read the record."
        => "Write element and text in one line, without blanks round the text.";
    MdnsTypeTwice "SRV-MDNS-TYPE-TWICE" "D310" Damage
        "A service file has two services of one type; Avahi refuses the whole file."
        => "Put dk0, dk1, … into one `_adisk._tcp` service.";
    MdnsSys "SRV-MDNS-SYS" "D311" Warning
        "The `sys=` record of the announced disks is not as Macs expect it; other shares may be hidden."
        => "Write `sys=waMa=0,adVF=0x100`.";
    MdnsNoResponder "SRV-MDNS-NO-RESPONDER" "D312" Damage
        "Nothing answers mDNS here, so nothing is announced; Macs do not list the server."
        => "Start avahi-daemon.";
    MdnsFile "SRV-MDNS-FILE" "D313" Warning
        "A file in Avahi's folder of services whose name does not end in .service; Avahi does not read it."
        => "Rename it.";
    MdnsInterface "SRV-MDNS-INTERFACE" "D314" Warning
        "What is announced does not reach the network that Macs are in."
        => "Take the network's interface into `allow-interfaces` of avahi-daemon.conf; give a container the host's network.";
    MdnsGhost "SRV-MDNS-GHOST" "D315" Warning
        "A backup disk is announced that cannot be opened; Macs list it, and choosing it fails."
        => "Restart what announces it, or put its share right.";
    PathMissing "SRV-SHARE-PATH-MISSING" "D400" Damage
        "The share's path does not exist or is no folder; the share cannot be opened."
        => "Make the folder, or mount its disk.";
    NotMounted "SRV-SHARE-NOT-MOUNTED" "D401" Damage
        "A disk that belongs under the share is not mounted: Macs start from zero, on the system's disk."
        => "Mount the disk. Share a folder within it, which is missing while the disk is, so that the share fails instead.";
    InContainer "SRV-SHARE-IN-CONTAINER" "D402" Damage
        "The share lies in the container's own file system and is lost with the container."
        => "Give the container a volume for it.";
    NotWritable "SRV-SHARE-NOT-WRITABLE" "D403" Damage
        "A user who may use the share may not write into its folder; Macs report error 13."
        => "Give the folder to the user (`chown`), or to a group of his with mode 770.";
    BundleOwner "SRV-BUNDLE-OWNER" "D404" Damage
        "A bundle does not belong to the user who is to write to it; Macs report that it cannot be accessed."
        => "Give the bundle to the user: `chown -R USER BUNDLE`.";
    NoXattr "SRV-FS-NO-XATTR" "D405" Damage
        "The file system under the share has no extended attributes, which the server needs for Macs."
        => "Use ext4, xfs, btrfs or ZFS.";
    FsUnsuited "SRV-FS-UNSUITED" "D406" Warning
        "The file system under the share is not made for it: read-only, slow or without locks."
        => "Use ext4, xfs, btrfs or ZFS; the Mac's own file system is within the bundle.";
    FsReadOnly "SRV-FS-READ-ONLY" "D407" Damage
        "The file system under the share is mounted read-only; every backup fails."
        => "Look in the system's log why, check the file system, and mount it anew.";
    FsFull "SRV-FS-FULL" "D408" Warning
        "The disk under the share is nearly full."
        => "Make room; where other data shares the disk, give Time Machine a limit.";
    FsInodes "SRV-FS-INODES" "D409" Warning
        "The file system has fewer inodes left than bundles will still need bands; writes fail while space is free."
        => "Make a new file system with more inodes, or larger bands.";
    ManyBands "SRV-FS-MANY-BANDS" "D410" Info
        "A bundle has more than 100,000 bands, which most file servers are slow at."
        => "Harmless; a new bundle with larger bands is easier on the server.";
    FsQuota "SRV-FS-QUOTA" "D411" Warning
        "A quota of the file system ends before the disk does, and Macs are shown what is free on the disk; they fail in the midst of a backup."
        => "Give the share a limit no larger than the quota.";
    ManyMacs "SRV-SHARE-MANY-MACS" "D412" Info
        "Several Macs share one limit: who comes first takes the room."
        => "Give each Mac a share of its own.";
    ShareTrash "SRV-SHARE-TRASH" "D413" Warning
        "A recycle bin in the share holds bundles or bands; they take room that no Mac can use."
        => "Empty it, when it is sure that nobody needs them.";
    DiskSlow "SRV-DISK-SLOW" "D415" Info
        "The disk is slow for what Time Machine does, many small writes; above all the first backup takes days."
        => "Let the first backup run by cable; larger bands or another disk make it faster.";
    QuotaPlist "SRV-SHARE-QUOTA-PLIST" "D417" Info
        "The quota file in the share's root and the server's limit differ; the smaller counts."
        => "Say it in one place.";
    StaleLock "SRV-BUNDLE-STALE-LOCK" "D418" Warning
        "Netatalk still holds locks for a Mac whose connection is gone; backups may be refused (already in use) for up to a day."
        => "Restart Netatalk while no Mac is connected.";
    BundleOld "SRV-BUNDLE-OLD" "D419" Warning
        "The last backup is older than --max-age allows."
        => "Look whether the Mac is in use and what its Time Machine says.";
    StartedAnew "SRV-BUNDLE-STARTED-ANEW" "D420" Warning
        "Two bundles belong to one Mac; it has started anew, and its history is split."
        => "Look why (mount, names); `tmutil inheritbackup` joins a Mac to its old bundle.";
    Leftover "SRV-BUNDLE-LEFTOVER" "D421" Info
        "What an interrupted or abandoned backup left takes room."
        => "Delete it when no Mac is at work and nobody needs it.";
    Suspends "SRV-HOST-SUSPENDS" "D500" Warning
        "This machine goes to sleep by itself; Macs then find no disk."
        => "`systemctl mask sleep.target suspend.target hibernate.target hybrid-sleep.target`.";
    NotListening "SRV-HOST-NOT-LISTENING" "D501" Damage
        "The server is configured but does not run: nothing listens where Macs connect."
        => "Start it, and look in its log why it did not.";
    Restart "SRV-HOST-RESTART" "D503" Info
        "The configuration was changed after the server was started; unless it was told since, the old one holds."
        => "Tell the server: `smbcontrol all reload-config`, or restart Netatalk while no Mac is connected.";
    TwoServers "SRV-HOST-TWO-SERVERS" "D504" Warning
        "One folder is served by Samba and Netatalk, which do not see one another's locks."
        => "Serve it through one of them, or say `fruit:locking = netatalk`.";
    UnsupportedVolumes "SRV-MAC-UNSUPPORTED-VOLUMES" "D505" Info
        "Macs back up to a volume that is not for Time Machine, so TMShowUnsupportedNetworkVolumes is set on them: it turns off their own checks, the one for room among them."
        => "Make the volume one for Time Machine, and on the Mac `defaults delete com.apple.systempreferences TMShowUnsupportedNetworkVolumes`.";
}
