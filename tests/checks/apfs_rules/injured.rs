//! Rules that the injuries of the lab provoke, and those that nothing provokes yet.

use tmbundle::report::Rule::{self, *};

/// Rules that are told of an injury where the lab's checker tells them (`apfs_agreement`).
pub const INJURED: &[Rule] = &[];

/// Rules that are not checked, or whose provoker is missing.
#[rustfmt::skip]
pub const NOT_YET: &[Rule] = &[
    A021, A064, A066, A075, A308, A320,
    A006, A044, A046, A047, A051, A054, A062, A065, A073, A074, A076, A077,
    A078, A079, A096, A097, A100, A101, A102, A103, A104, A105, A106, A107,
    A108, A109, A110, A111, A112, A113, A114, A115, A116, A117, A118, A119,
    A120, A121, A122, A123, A124, A125, A127, A128, A130, A131, A132, A133,
    A134, A135, A150, A151, A152, A153, A154, A155, A156, A157, A158, A159,
    A160, A161, A162, A163, A164, A165, A166, A167, A168, A169, A170, A171,
    A172, A173, A174, A175, A176, A177, A178, A179, A180, A181, A182, A183,
    A184, A185, A186, A187, A188, A189, A190, A191, A192, A193, A194, A195,
    A196, A200, A201, A202, A203, A204, A205, A206, A207, A220, A221, A222,
    A223, A224, A225, A226, A227, A228, A229, A230, A231, A232, A233, A234,
    A235, A240, A241, A242, A243, A244, A245, A246, A247, A260, A261, A263,
    A264, A266, A267, A269, A270, A272, A321, A322, A323, A324, A325, A326,
    A327, A328, A329, A330, A340, A341, A342, A350, A351, A352, A353, A360,
    A361, A362, A363,
];
