//! What stands in the manual beside the options: examples, exit status, environment, files.
//! The examples are in `--help`, too.

/// What a command's manual page says beyond its options.
pub struct Page {
    name: &'static str,
    /// What for, and the command.
    examples: &'static [(&'static str, &'static str)],
    /// Exit codes that mean something else here than for other commands.
    exit: &'static [(&'static str, &'static str)],
    password: bool,
    state: bool,
    files: &'static [(&'static str, &'static str)],
}

const PAGES: &[Page] = &[
    Page {
        name: "info",
        examples: &[(
            "What this is, without a password",
            "tmbundle info /srv/tm/Anna.sparsebundle",
        )],
        exit: &[("0", "It was recognised.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "verify",
        examples: &[
            ("One backup", "tmbundle verify /srv/tm/Anna.sparsebundle"),
            (
                "All of a share, silent unless something is wrong",
                "tmbundle verify -q --max-age 3d /srv/tm",
            ),
            ("A seventh of the files' data a day", "tmbundle verify --read-data=1/7 /srv/tm"),
            ("Find bands that rot between runs", "tmbundle verify --manifest /srv/tm"),
        ],
        exit: &[("0", "Nothing was found at or above --fail-on."), ("1", "Something was.")],
        password: true,
        state: true,
        files: &[
            ("/var/lib/tmbundle", "State between runs of the unit, and of root where it is there."),
            ("~/.local/state/tmbundle", "The same for others."),
        ],
    },
    Page {
        name: "snapshots",
        examples: &[("What Time Machine kept", "tmbundle snapshots Anna.sparsebundle")],
        exit: &[("1", "Something of the list could not be read."), ("3", "Nothing of it could.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "ls",
        examples: &[
            ("The newest snapshot", "tmbundle ls Anna.sparsebundle"),
            (
                "A folder, with sizes",
                "tmbundle ls -lh Anna.sparsebundle 'latest:/Macintosh HD/Users'",
            ),
            ("The snapshot before the newest", "tmbundle ls Anna.sparsebundle latest~1"),
        ],
        exit: &[("1", "Something could not be listed.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "cat",
        examples: &[(
            "One file",
            "tmbundle cat Anna.sparsebundle 'latest:/Macintosh HD/etc/hosts' > hosts",
        )],
        exit: &[("1", "Some of it is doubtful, or was given as zeros.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "extract",
        examples: &[(
            "A home folder",
            "sudo tmbundle extract Anna.sparsebundle 'latest:/Macintosh HD/Users/anna' --to /restore",
        )],
        exit: &[("1", "Some files could not be restored.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "mount",
        examples: &[
            ("Browse with ordinary tools", "tmbundle mount Anna.sparsebundle /mnt/tm"),
            (
                "From /etc/fstab",
                "/srv/tm/Anna.sparsebundle /mnt/anna fuse.tmbundle ro,nofail,allow_other 0 0",
            ),
        ],
        exit: &[("0", "It is mounted.")],
        password: true,
        state: false,
        files: &[("/dev/fuse", "The kernel's side of the mount.")],
    },
    Page {
        name: "umount",
        examples: &[("Unmount", "tmbundle umount /mnt/tm")],
        exit: &[("3", "It is in use.")],
        password: false,
        state: false,
        files: &[],
    },
    Page {
        name: "locate",
        examples: &[
            ("What a damaged band costs", "tmbundle locate Anna.sparsebundle --band 1f3"),
            ("What lies at a byte", "tmbundle locate disk.img --offset 0x41600000 --length 4096"),
        ],
        exit: &[],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "doctor",
        examples: &[
            ("This server, as root sees it", "sudo tmbundle doctor"),
            ("A file before it is installed", "tmbundle doctor --config smb.conf"),
            ("From a container, of the host", "tmbundle doctor --root /host"),
            ("Corrections to look at and apply", "tmbundle doctor --fix > doctor.patch"),
        ],
        exit: &[
            ("0", "Nothing was found at or above --fail-on."),
            ("1", "Something was."),
            ("3", "No configuration was found, or it could not be read."),
        ],
        password: false,
        state: false,
        files: &[
            ("/etc/samba/smb.conf", "Samba, with what it includes."),
            ("/etc/netatalk", "Netatalk: afp.conf, or AppleVolumes.default and afpd.conf."),
            ("/etc/avahi/services", "What Avahi announces."),
        ],
    },
    Page {
        name: "watch",
        examples: &[
            ("All Macs of a share", "tmbundle watch /srv/tm"),
            (
                "From cron: silent unless the disk is full within a month",
                "tmbundle watch -q --warn-full 30d /srv/tm",
            ),
        ],
        exit: &[
            ("0", "No disk is full within --warn-full."),
            ("1", "One is."),
            ("3", "A bundle could not be looked at, or there is none."),
        ],
        password: false,
        state: true,
        files: &[
            ("/var/lib/tmbundle", "Sizes that the unit saw, and root where it is there."),
            ("~/.local/state/tmbundle", "The same for others."),
        ],
    },
    Page {
        name: "explain",
        examples: &[
            ("A finding", "tmbundle explain BAND-LOST"),
            ("An error of Apple's fsck_hfs", "tmbundle explain 560"),
        ],
        exit: &[("2", "There is no such code.")],
        password: false,
        state: false,
        files: &[],
    },
    Page {
        name: "debug",
        examples: &[
            ("The root of the catalog", "tmbundle debug dump catalog Anna.sparsebundle"),
            ("A record of it", "tmbundle debug dump catalog/7/12 Anna.sparsebundle"),
            ("A block of an APFS container", "tmbundle debug dump object/1043 disk.img"),
        ],
        exit: &[("3", "There is no such structure.")],
        password: true,
        state: false,
        files: &[],
    },
    Page {
        name: "completions",
        examples: &[("For bash, now", "source <(tmbundle completions bash)")],
        exit: &[],
        password: false,
        state: false,
        files: &[(
            "/etc/bash_completion.d/tmbundle",
            "Where the script for bash may be kept; /usr/share/zsh/site-functions/_tmbundle for zsh.",
        )],
    },
    Page {
        name: "man",
        examples: &[("For all users", "sudo tmbundle man /usr/local/share/man/man1")],
        exit: &[],
        password: false,
        state: false,
        files: &[],
    },
    Page {
        name: "setup",
        examples: &[
            ("What there is", "tmbundle setup"),
            ("Everything, for all users", "sudo ./tmbundle setup --install"),
            ("One unit, to look at", "tmbundle setup --print tmbundle-verify@.service"),
            ("For one user", "./tmbundle setup --install --prefix ~/.local"),
        ],
        exit: &[("2", "There is no such file."), ("3", "Something could not be written.")],
        password: false,
        state: false,
        files: &[
            (
                "/usr/local/lib/systemd/system",
                "Units: tmbundle-verify@.service, .timer, tmbundle-mail@.service.",
            ),
            ("/sbin/mount.tmbundle", "By which mount(8) finds the program."),
            ("/usr/local/share/doc/tmbundle/prometheus", "Alerts and a dashboard."),
        ],
    },
];

/// Exit codes of every command.
const EXIT: &[(&str, &str)] = &[
    ("0", "All is well."),
    ("1", "Findings at or above --fail-on, or files that could not be restored."),
    ("2", "The arguments, or the address, do not fit."),
    ("3", "The source could not be examined: not recognised, not readable, locked."),
    ("130", "Interrupted."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("NO_COLOR, CLICOLOR, CLICOLOR_FORCE, TERM", "Whether to colour what a terminal shows."),
    ("TZ", "The time zone of dates."),
    (
        "TMBUNDLE_NOW",
        "A time such as 2019-11-14T12:00:00Z in place of the clock, which then stands still: for tests.",
    ),
];
const PASSWORD: &[(&str, &str)] = &[
    ("TMBUNDLE_PASSWORD", "The password of an encrypted image."),
    ("TMBUNDLE_PASSWORD_FILE", "A file that holds it; of several lines each is tried."),
    ("TMBUNDLE_PASSWORD_COMMAND", "A command that prints it; TMBUNDLE_SOURCE tells it the path."),
    ("TMBUNDLE_PASSWORD_DIR", "A folder of password files, each called as the bundle."),
];
const STATE: &[(&str, &str)] = &[(
    "STATE_DIRECTORY, XDG_STATE_HOME, HOME",
    "Where state is kept, in this order, without --state-dir.",
)];

/// The page of a command.
pub fn of(name: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.name == name)
}

/// Examples below `tmbundle --help`.
pub fn overview() -> String {
    let shown = ["verify", "snapshots", "extract"];
    let examples = shown.iter().filter_map(|name| of(name)?.examples.first());
    let lines: Vec<String> = examples.map(|(_, command)| format!("  {command}")).collect();
    format!("Examples:\n{}", lines.join("\n"))
}

/// A heading and what stands below it: a term each, and what is said of it.
pub type Section = (&'static str, Vec<(&'static str, &'static str)>);

impl Page {
    /// What `--help` says below the options.
    pub fn help(&self) -> String {
        let word = if self.examples.len() == 1 { "Example" } else { "Examples" };
        let example = |(what, command): &(&str, &str)| format!("  {what}:\n    {command}");
        let examples: Vec<String> = self.examples.iter().map(example).collect();
        format!("{word}:\n{}", examples.join("\n"))
    }

    /// The sections of the manual page.
    pub fn sections(&self) -> Vec<Section> {
        let own = |code: &str| self.exit.iter().find(|(own, _)| *own == code);
        let exit = EXIT.iter().map(|general| *own(general.0).unwrap_or(general)).collect();
        let mut environment = ENVIRONMENT.to_vec();
        environment.extend(PASSWORD.iter().filter(|_| self.password));
        environment.extend(STATE.iter().filter(|_| self.state));
        let mut files = self.files.to_vec();
        if self.password {
            files.push(("/proc/PID/fd", "Looked at to see whether a file server uses a bundle."));
        }
        vec![("EXIT STATUS", exit), ("ENVIRONMENT", environment), ("FILES", files)]
    }

    /// What for, and the command.
    pub fn examples(&self) -> &'static [(&'static str, &'static str)] {
        self.examples
    }
}

/// The sections of the page of the program itself.
pub fn general() -> Vec<Section> {
    let environment = [ENVIRONMENT, PASSWORD, STATE].concat();
    let files = of("verify").map(|page| page.files.to_vec()).unwrap_or_default();
    vec![("EXIT STATUS", EXIT.to_vec()), ("ENVIRONMENT", environment), ("FILES", files)]
}
