//! Each source is examined by a process of its own, so that one that cannot be examined
//! within bounds, by malice or by a fault of ours, does not silence the others.
//!
//! The parent (`boss`) starts this program again with the word [`WORD`], tells it through
//! its standard input what to examine ([`task::Task`], a line of JSON) and answers when it
//! asks for a password; the child (`hand`) sets itself limits (`limits`) and tells through
//! its standard output, a line of JSON each ([`Message`]), how far it is and what it came
//! to. A password goes through the pipe, never through arguments or environment.

mod boss;
mod hand;
mod limits;
mod task;

pub use boss::{Ended, examine};
pub use hand::run;
pub use task::Task;

use serde::{Deserialize, Serialize};
use tmbundle::verify::Outcome;

/// The hidden command that is a child.
pub const WORD: &str = "examine-one-source";

/// What a child tells.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Message {
    /// A phase begins: its name, how much there is to do, and whether in bytes.
    Phase(String, u64, bool),
    /// More is done: units of the phase, what it does not count, and bytes read.
    Done(u64, u64, u64),
    /// State is being saved, or no longer.
    Saving(bool),
    /// From now on time counts.
    Begun,
    /// It waits for a Mac or for another run, which takes none of its time.
    Waiting,
    /// A password is needed for this; how often one was wrong already, and whether somebody
    /// may be asked to type it.
    Ask(String, u32, bool),
    /// What it came to, and whether it is a bundle.
    Outcome(Box<Outcome>, bool),
    /// It could not be examined.
    Failed(Failure),
}

/// Why a source could not be examined.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// For people.
    pub text: String,
    /// What may help.
    pub hint: Option<String>,
    /// The wish to stop was why.
    pub interrupted: bool,
}

impl Failure {
    /// From an error.
    pub fn of(error: &tmbundle::Error) -> Self {
        Self {
            text: error.to_string(),
            hint: super::output::hint(error).map(|hint| hint.to_string()),
            interrupted: matches!(error, tmbundle::Error::Interrupted),
        }
    }
}

/// The parent's answer to [`Message::Ask`]; the passwords follow it as raw bytes.
#[derive(Serialize, Deserialize)]
struct Answer {
    /// Lengths of the passwords that may be tried.
    lengths: Vec<usize>,
    /// Why there is none, if it could not be had.
    error: Option<String>,
    /// A wrong one may be asked for again.
    again: bool,
}
