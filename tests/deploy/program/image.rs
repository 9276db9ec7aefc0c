//! Builds the image of `Dockerfile` with buildah, over a base that borrows this machine's compiler.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{BUILT_AT, COMMIT};
use crate::harness::TempFolder;
use crate::parts::{file, succeed};

/// The image, with a container of it whose files can be looked at.
pub struct Image {
    storage: Storage,
    root: PathBuf,
    settings: Value,
}

/// Where buildah keeps what it makes; it goes with its test.
struct Storage(TempFolder);

impl Image {
    pub fn build() -> Self {
        let storage = Storage(TempFolder::new());
        storage.make_base();
        storage.build();
        let container = storage.buildah(&["from", "--pull-never", "localhost/dispatch"]);
        let root = PathBuf::from(storage.buildah(&["mount", container.trim()]).trim());
        let settings = storage.buildah(&["inspect", "--type", "image", "localhost/dispatch"]);
        let settings: Value = serde_json::from_str(&settings).expect("inspect prints JSON");
        Self { storage, root, settings: settings["Docker"]["config"].clone() }
    }

    /// Its files, as a folder of this machine.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The names at its top.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.root).expect("the root can be read");
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The variables that it sets.
    pub fn variables(&self) -> Vec<(String, String)> {
        let all = self.settings["Env"].as_array().expect("it sets variables").iter();
        let pairs = all.map(|pair| pair.as_str().and_then(|pair| pair.split_once('=')));
        pairs.map(|pair| pair.expect("NAME=value")).map(|(n, v)| (n.into(), v.into())).collect()
    }

    /// The words of its health check.
    pub fn health_check(&self) -> Vec<String> {
        let words = self.settings["Healthcheck"]["Test"].as_array().expect("it has one").iter();
        let mut words = words.map(|word| word.as_str().expect("a word").to_owned());
        assert_eq!(words.next().as_deref(), Some("CMD"), "without a shell");
        words.collect()
    }

    pub fn expect_settings(&self) {
        let settings = &self.settings;
        assert_eq!(settings["User"], "10001:10001");
        assert_eq!(settings["Entrypoint"], serde_json::json!(["/dispatch"]));
        assert_eq!(settings["ExposedPorts"], serde_json::json!({ "8080/tcp": {} }));
        let variables = self.variables();
        for (name, value) in [("SG_ENV", "production"), ("SG_SERVER_PORT", "8080")] {
            assert!(variables.contains(&(name.into(), value.into())), "{variables:?}");
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        self.storage.buildah(&["umount", "--all"]);
    }
}

impl Storage {
    #[track_caller]
    fn buildah(&self, args: &[&str]) -> String {
        let [store, run] = ["store", "run"].map(|name| self.0.file(name));
        let place = ["--storage-driver", "vfs", "--root", &store, "--runroot", &run];
        // Caches would otherwise stay in a folder for all.
        let temporary = format!("TMPDIR={}", self.0.as_str());
        succeed("env", &[&[temporary.as_str(), "buildah"], &place[..], args].concat())
    }

    /// A system without files of its own: what it is made of is lent to it while it builds.
    fn make_base(&self) {
        let container = self.buildah(&["from", "scratch"]);
        let container = container.trim();
        let root = PathBuf::from(self.buildah(&["mount", container]).trim());
        for folder in ["etc", "root", "tmp", "toolchain", "usr"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        for folder in ["bin", "lib", "lib64", "sbin"] {
            symlink(format!("usr/{folder}"), root.join(folder)).unwrap();
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        let path = "PATH=/toolchain/bin:/usr/bin:/usr/sbin";
        self.buildah(&["config", "--env", path, container]);
        self.buildah(&["commit", "--quiet", container, "localhost/base"]);
        self.buildah(&["rm", container]);
    }

    fn build(&self) {
        let sysroot = succeed("rustc", &["--print", "sysroot"]);
        let toolchain = format!("{}:/toolchain:ro", sysroot.trim());
        let [dockerfile, ignored] = ["Dockerfile", "Dockerfile.dockerignore"].map(file);
        let [commit, built_at] =
            [format!("PLACE_COMMIT={COMMIT}"), format!("SOURCE_DATE_EPOCH={BUILT_AT}")];
        let mut args = vec!["build", "--isolation", "chroot", "--format", "docker", "--pull-never"];
        for volume in [
            &toolchain,
            "/usr:/usr:ro",
            "/etc/ssl:/etc/ssl:ro",
            "/etc/alternatives:/etc/alternatives:ro",
        ] {
            args.extend(["--volume", volume]);
        }
        for argument in ["RUST=localhost/base", &commit, &built_at] {
            args.extend(["--build-arg", argument]);
        }
        args.extend(["--file", dockerfile.to_str().unwrap()]);
        args.extend(["--ignorefile", ignored.to_str().unwrap()]);
        args.extend(["--tag", "localhost/dispatch", env!("CARGO_MANIFEST_DIR")]);
        self.buildah(&args);
    }
}
