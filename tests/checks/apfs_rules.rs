//! Each rule of APFS that is checked has something that provokes it.

use tmbundle::report::{Code, Rule};

/// Rules that are not checked yet.
const NOT_YET: &[Rule] = Rule::ALL;

/// Whether a rule of this code is provoked here, or none is checked yet.
pub fn covers(code: Code) -> bool {
    Rule::ALL.iter().any(|rule| rule.code() == code && NOT_YET.contains(rule))
}
