//! Makes what is offered for download, by `deploy/release`.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{BUILT_AT, COMMIT};
use crate::harness::TempFolder;
use crate::parts::{file, succeed};

pub struct Release {
    folder: TempFolder,
    name: String,
}

impl Release {
    pub fn make() -> Self {
        let folder = TempFolder::new();
        let variables = [
            format!("PLACE_COMMIT={COMMIT}"),
            format!("SOURCE_DATE_EPOCH={BUILT_AT}"),
            format!("CARGO_TARGET_DIR={}", folder.file("target")),
        ];
        let [commit, built_at, target] = variables.each_ref().map(String::as_str);
        let script = file("release");
        let script = script.to_str().expect("the path is text");
        succeed("env", &[commit, built_at, target, script, &folder.file("out")]);
        let names = fs::read_dir(folder.file("out")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let name = names.filter_map(|name| name.strip_suffix(".tar.gz").map(str::to_owned)).next();
        let name = name.expect("there is an archive");
        assert!(name.starts_with(&format!("dispatch-{}-", env!("CARGO_PKG_VERSION"))), "{name}");
        let out = folder.file("out");
        let archive = format!("{out}/{name}.tar.gz");
        succeed("tar", &["--extract", "--gzip", "--file", &archive, "--directory", &out]);
        Self { folder, name }
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(self.folder.file("out")).join(name)
    }

    fn unpacked(&self, name: &str) -> PathBuf {
        self.path(&self.name).join(name)
    }

    pub fn program(&self) -> Vec<u8> {
        fs::read(self.unpacked("dispatch")).expect("the archive has the program")
    }

    pub fn expect_sums_to_fit(&self) {
        let check =
            format!("cd '{}' && sha256sum --check --strict SHA256SUMS", self.path("").display());
        let checked = succeed("sh", &["-c", &check]);
        assert_eq!(checked.matches(": OK").count(), 2, "{checked}");
    }

    pub fn expect_manuals_and_completions(&self) {
        for name in
            ["man/dispatch.1", "man/dispatch-listen.1", "completions/dispatch.bash", "LICENSE"]
        {
            let text = fs::read_to_string(self.unpacked(name));
            assert!(text.is_ok_and(|text| !text.is_empty()), "{name}");
        }
        let bash = self.unpacked("completions/dispatch.bash");
        succeed("bash", &["-n", bash.to_str().unwrap()]);
        for name in ["dispatch.service", "haproxy.cfg", "udp.nft", "alerts.yml"] {
            assert!(self.unpacked(&format!("deploy/{name}")).exists(), "{name}");
        }
    }

    /// It names what the lock names, and nothing of the machine that made it.
    pub fn expect_bill_of_materials(&self) {
        let text = fs::read_to_string(self.path(&format!("{}.cdx.json", self.name))).unwrap();
        let bill: Value = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(bill["bomFormat"], "CycloneDX");
        let parts = bill["components"].as_array().expect("it has components");
        let names: Vec<_> = parts.iter().filter_map(|part| part["name"].as_str()).collect();
        for name in ["rustls", "ring", "mio"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            !text.contains("/tmp/") && !text.contains("serialNumber"),
            "it tells of the machine"
        );
    }
}
