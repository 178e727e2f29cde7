//! `docs/schema/verify-2.json` describes all that `verify --json` prints, and nothing
//! that it does not. To take in new codes and structures:
//! `UPDATE_DOCS=1 cargo test --test commands json_schema`.

use crate::common;

use crate::common::schema::validate;
use crate::common::{copy_demo, tmbundle};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tmbundle::report::{Code, Structure};
use tools::bundle::{BundleOptions, Encryption};
use tools::damage::Damage;
use tools::samples;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema/verify-2.json")
}

fn schema() -> Value {
    serde_json::from_str(&fs::read_to_string(path()).unwrap()).unwrap()
}

/// The file's text with the names of a definition as the program has them.
fn with_names(text: &str, definition: &str, names: Vec<&str>) -> String {
    let of = text.find(&format!("\n    \"{definition}\": {{")).unwrap();
    let start = of + text[of..].find("\"enum\": [").unwrap() + "\"enum\": [".len();
    let end = start + text[start..].find(']').unwrap();
    let names: Vec<String> = names.iter().map(|n| format!("\n          \"{n}\"")).collect();
    format!("{}{}\n        {}", &text[..start], names.join(","), &text[end..])
}

#[test]
fn the_schema_lists_every_code_and_structure() {
    let found = fs::read_to_string(path()).unwrap();
    let codes = Code::OF_BACKUPS.iter().map(|c| c.name()).collect();
    let structures =
        Structure::ALL.iter().filter(|s| !s.is_of_server()).map(|s| s.as_str()).collect();
    let wanted = with_names(&with_names(&found, "code", codes), "structure", structures);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path(), &wanted).unwrap();
    } else {
        assert!(
            found == wanted,
            "docs/schema/verify-2.json is out of step: UPDATE_DOCS=1 cargo test --test commands json_schema"
        );
    }
}

#[test]
fn the_validator_sees_what_is_wrong() {
    let good = json!({"schema": "tmbundle/verify/2", "sources": [], "errors": []});
    assert_eq!(validate(&schema(), &good), [""; 0]);
    for (key, value) in [
        ("schema", json!("tmbundle/verify/3")),
        ("sources", json!({})),
        ("sources", json!([{}])),
        ("errors", json!([{"source": 1, "error": "x"}])),
        ("errors", json!([{"source": "x", "error": ""}])),
        ("more", json!(1)),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(!validate(&schema(), &bad).is_empty(), "{bad}");
    }
}

/// Folders and files to verify, of as many kinds as can be.
fn sources(dir: &Path) -> Vec<PathBuf> {
    let new = |name: &str| {
        let path = dir.join(name);
        copy_demo(&path);
        path
    };
    let damaged = new("Damaged.sparsebundle");
    common::zero_volume_header(&damaged);
    let lost = new("Lost.sparsebundle");
    fs::remove_file(lost.join("bands/8")).unwrap();
    let odd = new("Odd.sparsebundle");
    fs::write(odd.join("bands/00A"), b"x").unwrap();
    fs::write(odd.join("bands/.DS_Store"), b"x").unwrap();
    fs::create_dir(odd.join("bands/a")).unwrap();
    fs::write(odd.join("Info.plist"), b"").unwrap();
    let destroyed = new("Destroyed.sparsebundle");
    fs::write(destroyed.join("Info.plist"), b"").unwrap();
    fs::write(destroyed.join("Info.bckup"), b"").unwrap();
    let locked = new("Locked.sparsebundle");
    fs::write(locked.join("token"), b"encrcdsa and no more").unwrap();
    let none = dir.join("None.sparsebundle");
    fs::create_dir(&none).unwrap();
    let mut all =
        vec![new("Good.sparsebundle"), damaged, lost, odd, destroyed, locked, none, encrypted(dir)];
    for damage in Damage::all().iter().step_by(8) {
        let mut volume = samples::sample("links").unwrap().build();
        if damage.apply(&mut volume.image, &volume.layout).is_some() {
            let path = dir.join(format!("{}.img", damage.name));
            volume.image.write_to(&path).unwrap();
            all.push(path);
        }
    }
    all
}

fn encrypted(dir: &Path) -> PathBuf {
    let path = dir.join("Encrypted.sparsebundle");
    let options = BundleOptions {
        encryption: Some(Encryption::with_password("password")),
        ..BundleOptions::default()
    };
    let volume = samples::sample("empty").unwrap().build();
    tools::bundle::write(&volume.image, &path, &options).unwrap();
    path
}

#[test]
fn every_run_prints_what_the_schema_says() {
    let schema = schema();
    let dir = tempfile::tempdir().unwrap();
    let (mut verdicts, mut codes) = (BTreeSet::new(), BTreeSet::new());
    let mut errors = 0;
    for source in sources(dir.path()) {
        for more in [&["--read-data", "--manifest"][..], &["--quick"], &["--max-age", "1d"]] {
            let mut args = vec!["verify", "--json"];
            args.extend(more);
            args.push(source.to_str().unwrap());
            let ran = tmbundle(&args);
            let json: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!(validate(&schema, &json), [""; 0], "{args:?}: {json:#}");
            errors += json["errors"].as_array().unwrap().len();
            for source in json["sources"].as_array().unwrap() {
                verdicts.insert(source["verdict"].as_str().unwrap().to_owned());
                for finding in source["findings"].as_array().unwrap() {
                    codes.insert(finding["code"].as_str().unwrap().to_owned());
                }
            }
        }
    }
    assert_eq!(verdicts.len(), 5, "{verdicts:?}");
    assert!(codes.len() > 20 && errors > 0, "{codes:?}, {errors} errors");
}

#[test]
fn a_skipped_bundle_and_a_share_too() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("Mac.sparsebundle");
    copy_demo(&bundle);
    let token = fs::File::options().read(true).write(true).open(bundle.join("token")).unwrap();
    rustix::fs::fcntl_lock(&token, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
    let args = ["verify", "--json", "--if-busy", "skip", dir.path().to_str().unwrap()];
    let json: Value = serde_json::from_str(&tmbundle(&args).out).unwrap();
    assert_eq!(validate(&schema(), &json), [""; 0], "{json:#}");
    assert_eq!(json["sources"][0]["findings"][0]["code"], "BUNDLE-SKIPPED");
    assert_eq!(json["sources"][0]["verdict"], "unchecked");
    assert_eq!(json["sources"][0]["verdict"], "unchecked");
}
