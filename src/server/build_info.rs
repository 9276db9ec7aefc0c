//! What this build is: the body of `/version` and the version of `--version` and `--docs`.

use jiff::Timestamp;
use serde_json::json;

/// The facts about a build, fixed when it was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// `PLACE_COMMIT` at build time, else `DEV`.
    pub commit: &'static str,
    /// The version of the package.
    pub version: &'static str,
    /// `PLACE_VERSION` at build time, else `DEV`.
    pub platform_version: &'static str,
    /// Seconds since 1970.
    build_seconds: &'static str,
}

/// This build.
pub const BUILD: BuildInfo = BuildInfo {
    commit: env!("PLACE_COMMIT"),
    version: env!("CARGO_PKG_VERSION"),
    platform_version: env!("PLACE_VERSION"),
    build_seconds: env!("DISPATCH_BUILD_SECONDS"),
};

impl BuildInfo {
    /// The time of the build in UTC, as RFC 3339.
    pub fn build_time(&self) -> String {
        let seconds = self.build_seconds.parse().unwrap_or(0);
        Timestamp::from_second(seconds).unwrap_or_default().to_string()
    }

    /// The body of `/version`.
    pub fn to_json(self) -> String {
        json!({
            "service": env!("CARGO_PKG_NAME"),
            "commit": self.commit,
            "version": self.version,
            "build_time": self.build_time(),
            "platform_version": self.platform_version,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: BuildInfo = BuildInfo {
        commit: "abc123",
        version: "2.0.0",
        platform_version: "DEV",
        build_seconds: "1700000000",
    };

    #[test]
    fn the_version_document_has_the_five_fields_of_the_contract() {
        let document: serde_json::Value = serde_json::from_str(&SOME.to_json()).unwrap();
        assert_eq!(
            document,
            json!({
                "service": "dispatch",
                "commit": "abc123",
                "version": "2.0.0",
                "build_time": "2023-11-14T22:13:20Z",
                "platform_version": "DEV",
            })
        );
    }

    #[test]
    fn this_build_has_a_time() {
        assert!(BUILD.build_time().as_str() > "2024");
    }
}
