//! The description of the routes for programs, in YAML.

/// The text, with the version left open.
const TEMPLATE: &str = include_str!("openapi.yaml");

/// The OpenAPI document of this version.
pub fn document(version: &str) -> String {
    TEMPLATE.replace("{crate_version}", version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_names_its_own_version() {
        let document = document("1.2.3");
        assert!(document.starts_with("openapi: 3."), "{document}");
        assert!(document.contains("  version: 1.2.3\n"), "{document}");
    }
}
