//! What shares and volumes there are.

use super::{Host, Setup, samba};
use serde::Serialize;

/// A share or volume, as the configuration says.
#[derive(Debug, Clone, Serialize)]
pub struct ShareRow {
    /// Its name.
    pub name: String,
    /// `samba` or `netatalk`.
    pub server: &'static str,
    /// Its path, variables as they are written.
    pub path: Option<String>,
    /// Whether Macs are offered it for Time Machine.
    pub time_machine: bool,
    /// Bytes; absent if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
}

/// The shares and volumes of a configuration, as their servers read it.
pub fn share_rows(setup: &Setup, host: &Host) -> Vec<ShareRow> {
    let fractions = host.samba.is_some_and(|v| v >= (4, 25));
    let samba = setup.samba.iter().flat_map(samba::Samba::shares).filter(|s| !s.is_special());
    let mut rows: Vec<ShareRow> = samba
        .map(|s| {
            let seen = s.seen(fractions);
            let (time_machine, limit) = (seen.time_machine, seen.limit);
            ShareRow {
                name: s.name().to_owned(),
                server: "samba",
                path: s.path(),
                time_machine,
                limit,
            }
        })
        .collect();
    let mib = |limit: Option<u64>| limit.and_then(|n| n.checked_mul(1 << 20));
    if let Some(afp) = &setup.afp {
        rows.extend(afp.served().into_iter().map(|v| ShareRow {
            name: afp.name_of(v),
            server: "netatalk",
            path: afp.path_of(v),
            time_machine: afp.is_time_machine(v),
            limit: mib(afp.limit(v)),
        }));
    }
    rows.extend(setup.netatalk2.volumes.iter().map(|v| ShareRow {
        name: v.name(),
        server: "netatalk",
        path: Some(v.path.clone()),
        time_machine: v.is_time_machine(),
        limit: mib(v.limit_mib()),
    }));
    rows
}
