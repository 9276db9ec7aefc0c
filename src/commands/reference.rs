//! The command line as shells and `man` want it described, for those who package the program.

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::commands::cli::Cli;
use crate::commands::environment::ConfigError;

/// What a shell reads, so that it completes our command line.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dispatch", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page of the program, or of one of its commands.
///
/// # Errors
/// There is no such command.
pub fn manual_page(command: Option<&str>) -> Result<String, ConfigError> {
    let mut program = Cli::command();
    program.build();
    let described = match command {
        None => Some(&program),
        Some(name) => program.find_subcommand(name),
    };
    let unknown = || ConfigError::new("man", "there is no such command");
    let mut page = Vec::new();
    Man::new(described.ok_or_else(unknown)?.clone())
        .render(&mut page)
        .map_err(|error| ConfigError::new("man", &error.to_string()))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn each_shell_is_told_of_flags_and_commands() {
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            for word in ["trusted-proxies", "listen"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn the_manual_has_a_page_for_the_program_and_one_for_each_command() {
        let page = manual_page(None).unwrap();
        assert!(page.contains(".TH dispatch 1") && page.contains("trusted\\-proxies"), "{page}");
        let page = manual_page(Some("listen")).unwrap();
        assert!(page.contains(".TH dispatch-listen 1"), "{page}");
        assert!(manual_page(Some("nonsense")).is_err());
    }
}
