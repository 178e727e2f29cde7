//! Rules that the injuries of the lab provoke, and those that nothing provokes yet.

use tmbundle::report::Rule::{self, *};

/// Rules that are told of an injury where the lab's checker tells them (`apfs_agreement`).
pub const INJURED: &[Rule] = &[];

/// Rules that are not checked, or whose provoker is missing.
#[rustfmt::skip]
pub const NOT_YET: &[Rule] = &[
    A006, A051, A074, A096, A097, A100, A120, A189, A193, A203, A204, A206,
    A231, A233, A263, A320, A321, A322, A323, A324, A325, A326, A327, A328, A329, A330,
    A350, A351, A352, A353, A363,
];
