//! Netatalk: version 2 (a line a volume) and 3 or 4 (`afp.conf`).

pub mod afp;
pub mod two;

/// What makes one log-in module of a name: is it one that today's Macs use?
pub fn is_modern(uam: &str) -> bool {
    matches!(
        uam,
        "uams_dhx2.so" | "uams_dhx2_pam.so" | "uams_dhx2_passwd.so" | "uams_srp.so" | "uams_gss.so"
    )
}

/// Log-in modules that some Netatalk has.
pub const UAMS: &[&str] = &[
    "uams_dhx2.so",
    "uams_dhx2_pam.so",
    "uams_dhx2_passwd.so",
    "uams_dhx.so",
    "uams_dhx_pam.so",
    "uams_dhx_passwd.so",
    "uams_srp.so",
    "uams_gss.so",
    "uams_guest.so",
    "uams_clrtxt.so",
    "uams_pam.so",
    "uams_passwd.so",
    "uams_pgp.so",
    "uams_randnum.so",
    "uams_ldap.so",
];

/// Digits up to the first other character, as `atoi` has them: what Netatalk makes of a size.
pub fn leading_digits(text: &str) -> Option<u64> {
    let digits: String = text.trim().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// MiB that were meant by `1T`, `500 GB`, `1.000.000`.
pub fn mebibytes_meant(text: &str) -> Option<u64> {
    let tidy: String =
        text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\'' | '_')).collect();
    let groups = |parting: char| {
        let parts: Vec<&str> = tidy.split(parting).collect();
        let whole = parts.iter().all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        let threes = parts.iter().skip(1).all(|p| p.len() == 3);
        (parts.len() > 1 && whole && threes).then(|| parts.concat())
    };
    if let Some(number) = groups('.').or_else(|| groups(',')) {
        return number.parse().ok();
    }
    match super::samba::value::meant(&tidy) {
        Some(bytes) if tidy.bytes().any(|b| b.is_ascii_alphabetic()) => Some(bytes >> 20),
        _ => None,
    }
}
