//! Ways to provoke a finding, and what is then reported.

pub mod bundles;
pub mod made;
pub mod volumes;

use crate::common;
use tmbundle::report::Code;
use tools::hfs::Volume;

/// Codes and messages that were reported.
pub type Told = Vec<(Code, String)>;

/// A way to provoke a finding.
pub enum How {
    /// A named damage to the sample volume "everything".
    Damage(&'static str),
    /// A volume that is built broken.
    Broken(&'static str),
    /// A change to a copy of the bundle in testdata, and the arguments to verify it with.
    Bundle(fn(&bundles::Copy) -> Vec<String>),
    /// Anything else.
    Made(fn() -> Told),
}

/// What the changes are made to, as it is before.
pub struct Scene {
    volume: Volume,
    clean_volume: Told,
    clean_bundle: Told,
}

impl Scene {
    pub fn new() -> Self {
        let volume = tools::samples::sample("everything").unwrap().build();
        let clean_volume = volumes::check(&volume.image);
        let clean_bundle = verify(&["verify", &bundles::demo()]);
        Self { volume, clean_volume, clean_bundle }
    }

    /// What is reported that was not before.
    pub fn play(&self, how: &How) -> Told {
        let (told, before) = match how {
            How::Damage(name) => {
                let damage = tools::damage::Damage::by_name(name).unwrap();
                let mut image = self.volume.image.clone();
                damage.apply(&mut image, &self.volume.layout).unwrap();
                (volumes::check(&image), &self.clean_volume)
            }
            How::Broken(name) => {
                let broken = tools::damage::broken().iter().find(|b| b.name == *name).unwrap();
                (volumes::check(&broken.builder().build().image), &Vec::new())
            }
            How::Bundle(change) => {
                let copy = bundles::Copy::new();
                let args = change(&copy);
                let args: Vec<&str> = args.iter().map(String::as_str).collect();
                (copy.verify(&args), &self.clean_bundle)
            }
            How::Made(make) => (make(), &Vec::new()),
        };
        told.into_iter().filter(|t| !before.contains(t)).collect()
    }
}

/// What the command reports.
pub fn verify(args: &[&str]) -> Told {
    told(&common::tmbundle(&[args, &["--json"]].concat()).out)
}

/// The findings of a JSON document.
pub fn told(json: &str) -> Told {
    let document: serde_json::Value = serde_json::from_str(json).unwrap();
    let findings =
        document["sources"][0]["findings"].as_array().unwrap_or_else(|| panic!("{json}"));
    findings
        .iter()
        .map(|f| {
            let code = Code::by_name(f["code"].as_str().unwrap()).unwrap();
            (code, f["message"].as_str().unwrap().to_string())
        })
        .collect()
}
