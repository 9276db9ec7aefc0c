//! The description of the routes for programs, in YAML.

/// The text, with the version left open.
const TEMPLATE: &str = include_str!("openapi.yaml");

/// The OpenAPI document of this version.
pub fn document(version: &str) -> String {
    TEMPLATE.replace("{crate_version}", version)
}
