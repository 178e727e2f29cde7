//! Rules that the injuries of the lab provoke, and those that nothing provokes yet.

use tmbundle::report::Rule::{self, *};

/// Rules that are told of an injury where the lab's checker tells them (`apfs_agreement`).
pub const INJURED: &[Rule] = &[];

/// Rules that are not checked, or whose provoker is missing.
#[rustfmt::skip]
pub const NOT_YET: &[Rule] = &[
    A006, A021, A044, A046, A047, A051, A054, A062, A064, A065, A066, A073,
    A074, A075, A076, A077, A078, A079, A096, A097, A100, A103, A120, A128,
    A130, A150, A177, A184, A189, A191, A193, A203, A204, A206, A231, A233,
    A234, A235, A263, A264, A269, A270, A308, A320, A321, A322, A323, A324,
    A325, A326, A327, A328, A329, A330, A340, A341, A342, A350, A351, A352,
    A353, A360, A361, A362, A363,
];
