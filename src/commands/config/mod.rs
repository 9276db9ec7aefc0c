//! What the server needs to know, made from the command line and the environment.
//!
//! A flag wins over its variable, a variable over the default; an empty variable counts as
//! unset. Nothing here reads the process's environment by itself, so that tests can give one.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process;
use std::time::Duration;

use log::LevelFilter;

use crate::commands::cli::Cli;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::secrets::{self, SECRET_NAME};
use crate::limits::{Ceilings, METRICS_PORTS, PING_INTERVAL, SECRET_SHORT_CHARACTERS};
use crate::logging::settings::{LogSettings, Mode};
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::routes::MetricsAccess;
use crate::protocol::port_rules::PortRules;
use crate::protocol::secret::{DEFAULT_SECRET, Secret};
use crate::server::config::{Config, SecretSource, TlsFiles};
use crate::server::service_manager::NotifySettings;

mod values;
pub(super) use values::parse_addresses;
use values::{
    parse_binds, parse_count, parse_integer, parse_level, parse_local_addresses, parse_log_filter,
    parse_metrics_ports, parse_mode, parse_ping_seconds, parse_port, parse_port_rules, parse_size,
    parse_switch, refuse_overlap, remove_repeated,
};

/// What `dispatch` without a subcommand has to do.
#[derive(Debug)]
pub struct Serve {
    /// What the server needs.
    pub server: Config,
    /// Which kind of installation this is.
    pub mode: Mode,
    /// Which lines are logged.
    pub log: LogSettings,
    /// What should be logged once there is a log.
    pub warnings: Vec<String>,
}

impl Serve {
    /// Makes sense of flags and variables.
    ///
    /// # Errors
    /// The first of them that is wrong.
    pub fn from(cli: &Cli, environment: &Environment) -> Result<Self, ConfigError> {
        let settings = Settings { environment };
        let mode = settings.mode()?;
        let mut warnings = Vec::new();
        settings.workers(cli, &mut warnings)?;
        let server = Config {
            binds: settings.binds(cli)?,
            secret: settings.secret(cli, mode, &mut warnings)?,
            tokens: settings.tokens(cli)?,
            ceilings: settings.ceilings(cli)?,
            allow_ports: settings.allow_ports(cli)?,
            device_binds: settings.device_binds(cli)?,
            ping_interval: settings.ping_interval(cli)?,
            forbid_accept_all: settings.forbid_accept_all(cli)?,
            trusted_proxies: settings.trusted_proxies(cli)?,
            tls: settings.tls(cli)?,
            metrics_ports: settings.metrics_ports(cli)?,
            metrics_access: settings.metrics_access(cli)?,
            notify: settings.notify()?,
        };
        Ok(Self { server, mode, log: log_settings(environment, mode)?, warnings })
    }
}

/// Which lines `LOG_LEVEL` and `RUST_LOG` ask for.
///
/// # Errors
/// One of them can't be understood.
pub fn log_settings(environment: &Environment, mode: Mode) -> Result<LogSettings, ConfigError> {
    let settings = Settings { environment };
    let level = settings.value(None, NO_FLAG, "LOG_LEVEL", parse_level)?;
    let filter = settings.value(None, NO_FLAG, "RUST_LOG", parse_log_filter)?;
    let default = match mode {
        Mode::Production => LevelFilter::Info,
        Mode::Development => LevelFilter::Debug,
    };
    Ok(LogSettings { level: level.unwrap_or(default), filter })
}

/// Which kind of installation this is, as far as can be said of one that is configured wrongly.
pub fn mode_of(environment: &Environment) -> Mode {
    Settings { environment }.mode().unwrap_or(Mode::Development)
}

/// Stands for the flag of a setting that only a variable can give.
const NO_FLAG: &str = "";

/// Reads each setting from where it was given.
struct Settings<'a> {
    environment: &'a Environment,
}

impl Settings<'_> {
    /// The parsed value of a flag, else of its variable; an error names the one it came from.
    fn value<T>(
        &self,
        typed: Option<&str>,
        flag: &str,
        variable: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        if let Some(text) = typed {
            return parse(text).map(Some).map_err(|why| ConfigError::new(flag, &why));
        }
        let text = self.environment.get(variable)?;
        let parsed = text.map(|text| parse(text.trim())).transpose();
        parsed.map_err(|why| ConfigError::new(variable, &why))
    }

    fn mode(&self) -> Result<Mode, ConfigError> {
        let given = self.value(None, NO_FLAG, "SG_ENV", parse_mode)?;
        Ok(given.unwrap_or(Mode::Development))
    }

    fn workers(&self, cli: &Cli, warnings: &mut Vec<String>) -> Result<(), ConfigError> {
        let typed = cli.workers.as_deref();
        let count = self.value(typed, "--workers", "SG_PROCESS_COUNT", parse_integer)?.unwrap_or(1);
        if count != 1 {
            warnings.push(format!("{count} workers were asked for, but one event loop serves all"));
        }
        Ok(())
    }

    fn binds(&self, cli: &Cli) -> Result<Vec<SocketAddr>, ConfigError> {
        let port = self.value(cli.port.as_deref(), "--port", "SG_SERVER_PORT", parse_port)?;
        let port = port.unwrap_or(3000);
        let parse = |text: &str| parse_binds(text, port);
        let mut binds = Vec::new();
        for typed in &cli.bind {
            let given = self.value(Some(typed), "--bind", "SG_SERVER_HOST", parse)?;
            binds.extend(given.unwrap_or_default());
        }
        if cli.bind.is_empty() {
            let given = self.value(None, "--bind", "SG_SERVER_HOST", parse)?;
            binds = given.unwrap_or_else(|| vec![SocketAddr::from(([127, 0, 0, 1], port))]);
        }
        remove_repeated(&mut binds);
        Ok(binds)
    }

    /// A file of tokens is enough: then there is no secret but one that was set.
    fn secret(
        &self,
        cli: &Cli,
        mode: Mode,
        warnings: &mut Vec<String>,
    ) -> Result<SecretSource, ConfigError> {
        let found = secrets::find(self.environment)?;
        let own = found.secret().filter(|secret| secret.expose() != DEFAULT_SECRET);
        if let Some(secret) = own {
            warnings.extend(warning_of_short(secret));
            return Ok(found);
        }
        match (self.tokens(cli)?, mode) {
            (Some(_), _) => Ok(SecretSource::None),
            (None, Mode::Production) => {
                let mut why = "production needs a secret of its own, or --tokens".to_owned();
                if let Some(unseen) = secrets::why_unseen(self.environment)? {
                    why = format!("{why}, and where it may be cannot be looked into: {unseen}");
                }
                Err(ConfigError::new(SECRET_NAME, &why))
            }
            (None, Mode::Development) => {
                warnings.push(format!("the secret is the default one; set {SECRET_NAME}"));
                Ok(SecretSource::Given(Secret::new(DEFAULT_SECRET.to_owned())))
            }
        }
    }

    fn tokens(&self, cli: &Cli) -> Result<Option<PathBuf>, ConfigError> {
        let path = |text: &str| Ok(PathBuf::from(text));
        self.value(cli.tokens.as_deref(), "--tokens", "SG_TOKENS", path)
    }

    fn ceilings(&self, cli: &Cli) -> Result<Ceilings, ConfigError> {
        let usual = Ceilings::default();
        let count = |typed: &Option<String>, flag: &str, variable: &str, usual: usize| {
            let given = self.value(typed.as_deref(), flag, variable, parse_count)?;
            Ok(given.unwrap_or(usual))
        };
        let accepts = self.value(
            cli.max_accepts_per_second.as_deref(),
            "--max-accepts-per-second",
            "SG_MAX_ACCEPTS_PER_SECOND",
            parse_count,
        )?;
        Ok(Ceilings {
            drivers: count(&cli.max_drivers, "--max-drivers", "SG_MAX_DRIVERS", usual.drivers)?,
            ports: count(&cli.max_ports, "--max-ports", "SG_MAX_PORTS", usual.ports)?,
            devices: count(&cli.max_devices, "--max-devices", "SG_MAX_DEVICES", usual.devices)?,
            devices_per_port: count(
                &cli.max_devices_per_port,
                "--max-devices-per-port",
                "SG_MAX_DEVICES_PER_PORT",
                usual.devices_per_port,
            )?,
            devices_per_address: count(
                &cli.max_devices_per_address,
                "--max-devices-per-address",
                "SG_MAX_DEVICES_PER_ADDRESS",
                usual.devices_per_address,
            )?,
            queued_bytes: self.queued_bytes(cli)?.unwrap_or(usual.queued_bytes),
            accepts_per_second: accepts.unwrap_or(usual.accepts_per_second),
        })
    }

    fn queued_bytes(&self, cli: &Cli) -> Result<Option<usize>, ConfigError> {
        let typed = cli.max_queued_bytes.as_deref();
        self.value(typed, "--max-queued-bytes", "SG_MAX_QUEUED_BYTES", parse_size)
    }

    fn allow_ports(&self, cli: &Cli) -> Result<Option<PortRules>, ConfigError> {
        self.value(cli.allow_ports.as_deref(), "--allow-ports", "SG_ALLOW_PORTS", parse_port_rules)
    }

    fn device_binds(&self, cli: &Cli) -> Result<Vec<IpAddr>, ConfigError> {
        let (flag, variable) = ("--device-bind", "SG_DEVICE_BIND");
        let mut addresses = Vec::new();
        for typed in &cli.device_bind {
            let given = self.value(Some(typed), flag, variable, parse_local_addresses)?;
            addresses.extend(given.unwrap_or_default());
        }
        let place = if cli.device_bind.is_empty() { variable } else { flag };
        if cli.device_bind.is_empty() {
            let given = self.value(None, flag, variable, parse_local_addresses)?;
            addresses = given.unwrap_or_default();
        }
        remove_repeated(&mut addresses);
        refuse_overlap(&addresses).map_err(|why| ConfigError::new(place, &why))?;
        Ok(addresses)
    }

    fn ping_interval(&self, cli: &Cli) -> Result<Duration, ConfigError> {
        let typed = cli.ping_seconds.as_deref();
        let given = self.value(typed, "--ping-seconds", "SG_PING_SECONDS", parse_ping_seconds)?;
        Ok(given.unwrap_or(PING_INTERVAL))
    }

    fn forbid_accept_all(&self, cli: &Cli) -> Result<bool, ConfigError> {
        let given = self.value(None, NO_FLAG, "SG_FORBID_ACCEPT_ALL", parse_switch)?;
        Ok(cli.forbid_accept_all || given.unwrap_or(false))
    }

    fn metrics_ports(&self, cli: &Cli) -> Result<usize, ConfigError> {
        let typed = cli.metrics_ports.as_deref();
        let given =
            self.value(typed, "--metrics-ports", "SG_METRICS_PORTS", parse_metrics_ports)?;
        Ok(given.unwrap_or(METRICS_PORTS))
    }

    fn metrics_access(&self, cli: &Cli) -> Result<MetricsAccess, ConfigError> {
        let given = self.value(None, NO_FLAG, "SG_PUBLIC_METRICS", parse_switch)?;
        Ok(match cli.public_metrics || given.unwrap_or(false) {
            true => MetricsAccess::Everybody,
            false => MetricsAccess::Viewers,
        })
    }

    fn trusted_proxies(&self, cli: &Cli) -> Result<Option<AcceptList>, ConfigError> {
        let typed = cli.trusted_proxies.as_deref();
        self.value(typed, "--trusted-proxies", "SG_TRUSTED_PROXIES", parse_addresses)
    }

    /// What sd_notify(3) and sd_watchdog_enabled(3) look at.
    fn notify(&self) -> Result<NotifySettings, ConfigError> {
        let path = |text: &str| Ok(PathBuf::from(text));
        let socket = self.value(None, NO_FLAG, "NOTIFY_SOCKET", path)?;
        let patience = self.value(None, NO_FLAG, "WATCHDOG_USEC", parse_integer)?;
        let watched = self.value(None, NO_FLAG, "WATCHDOG_PID", parse_integer)?;
        // The variables may have come down to us from a process that is watched.
        let is_meant = watched.is_none_or(|pid| pid == process::id() as usize);
        let patience = patience.filter(|&microseconds| is_meant && microseconds > 0);
        let watchdog = patience.map(|microseconds| Duration::from_micros(microseconds as u64));
        Ok(NotifySettings { socket, watchdog })
    }

    fn tls(&self, cli: &Cli) -> Result<Option<TlsFiles>, ConfigError> {
        let path = |text: &str| Ok(PathBuf::from(text));
        let cert = self.value(cli.tls_cert.as_deref(), "--tls-cert", "SG_TLS_CERT", path)?;
        let key = self.value(cli.tls_key.as_deref(), "--tls-key", "SG_TLS_KEY", path)?;
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (Some(_), None) => {
                Err(ConfigError::new("--tls-key", "a certificate needs its key (or SG_TLS_KEY)"))
            }
            (None, Some(_)) => {
                Err(ConfigError::new("--tls-cert", "a key needs its certificate (or SG_TLS_CERT)"))
            }
        }
    }
}

/// Says that a secret can be guessed.
fn warning_of_short(secret: &Secret) -> Option<String> {
    let short = secret.expose().chars().count() < SECRET_SHORT_CHARACTERS;
    short.then(|| {
        format!(
            "the secret has fewer than {SECRET_SHORT_CHARACTERS} characters and can be guessed; \
             openssl rand -hex 32 makes a good one"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// A secret of which nothing is to be said.
    const LONG: (&str, &str) = (SECRET_NAME, "sixteen-letters!");

    /// A secrets folder that is not there, so that no test depends on the machine's.
    const NOWHERE: (&str, &str) = ("SECRETS_PATH", "/nonexistent");

    fn serve(line: &str, variables: &[(&str, &str)]) -> Result<Serve, String> {
        let words = std::iter::once("dispatch").chain(line.split_whitespace());
        let cli = Cli::try_parse_from(words).unwrap();
        let all = [NOWHERE].into_iter().chain(variables.iter().copied());
        Serve::from(&cli, &Environment::of(all)).map_err(|error| error.to_string())
    }

    fn binds(line: &str, variables: &[(&str, &str)]) -> Vec<String> {
        serve(line, variables).unwrap().server.binds.iter().map(SocketAddr::to_string).collect()
    }

    #[test]
    fn without_any_setting_it_serves_this_machine_for_development() {
        let Serve { server: config, mode, log, .. } = serve("", &[]).unwrap();
        assert_eq!(config.binds, ["127.0.0.1:3000".parse().unwrap()]);
        assert_eq!(mode, Mode::Development);
        assert_eq!(log, LogSettings { level: LevelFilter::Debug, filter: None });
        assert_eq!(config.ceilings, Ceilings::default());
        assert_eq!(config.secret.secret().unwrap().expose(), DEFAULT_SECRET);
        assert!(config.tls.is_none() && config.trusted_proxies.is_none());
        assert!(config.allow_ports.is_none() && config.device_binds.is_empty());
        assert_eq!(config.ping_interval, Duration::from_secs(30));
        assert!(!config.forbid_accept_all);
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let variables = [("SG_SERVER_HOST", "10.0.0.1"), ("SG_SERVER_PORT", "1")];
        assert_eq!(binds("", &variables), ["10.0.0.1:1"]);
        assert_eq!(binds("-b ::1", &variables), ["[::1]:1"]);
        assert_eq!(binds("-p 2", &variables), ["10.0.0.1:2"]);
        let wrong = [("SG_SERVER_PORT", "x")];
        assert_eq!(binds("-p 2", &wrong), ["127.0.0.1:2"]);
    }

    #[test]
    fn several_binds_share_the_port_unless_they_have_their_own() {
        let line = "-b 127.0.0.1 --bind [::1]:80 -b ::1 -b 127.0.0.1 -p 7";
        assert_eq!(binds(line, &[]), ["127.0.0.1:7", "[::1]:80", "[::1]:7"]);
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        let empty = ["SG_SERVER_HOST", "SG_SERVER_PORT", "SG_ENV", "LOG_LEVEL", "SG_MAX_PORTS"];
        assert!(serve("", &empty.map(|name| (name, ""))).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_where_it_was_given() {
        for (line, variable, place) in [
            ("", ("SG_SERVER_PORT", "http"), "SG_SERVER_PORT: "),
            ("-p http", ("SG_SERVER_PORT", "1"), "--port: "),
            ("", ("SG_SERVER_HOST", "[::1"), "SG_SERVER_HOST: "),
            ("", ("SG_PROCESS_COUNT", "-1"), "SG_PROCESS_COUNT: "),
            ("", ("SG_ENV", "prod"), "SG_ENV: "),
            ("", ("LOG_LEVEL", "loud"), "LOG_LEVEL: "),
            ("", ("RUST_LOG", "dispatch=loud"), "RUST_LOG: "),
            ("", ("SG_MAX_DRIVERS", "0"), "SG_MAX_DRIVERS: "),
            ("--max-queued-bytes 1", ("SG_ENV", ""), "--max-queued-bytes: "),
            ("", ("SG_TRUSTED_PROXIES", "lb"), "SG_TRUSTED_PROXIES: "),
            ("", ("SG_FORBID_ACCEPT_ALL", "maybe"), "SG_FORBID_ACCEPT_ALL: "),
            ("", ("SG_ALLOW_PORTS", "tcp:0"), "SG_ALLOW_PORTS: "),
            ("--device-bind lobby", ("SG_ENV", ""), "--device-bind: "),
            ("", ("SG_DEVICE_BIND", "::,::1"), "SG_DEVICE_BIND: "),
            ("--ping-seconds 4", ("SG_PING_SECONDS", "30"), "--ping-seconds: "),
            ("--tls-cert c", ("SG_ENV", ""), "--tls-key: "),
            ("", ("SG_TLS_KEY", "k"), "--tls-cert: "),
        ] {
            let error = serve(line, &[variable]).unwrap_err();
            assert!(error.starts_with(place), "{error}");
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_was_given() {
        let error = serve("", &[("SG_SERVER_PORT", "1\n2")]).unwrap_err();
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn production_does_not_start_without_a_secret_of_its_own() {
        let production = ("SG_ENV", "production");
        for secret in ["", "testing", "testing\n"] {
            let error = serve("", &[production, (SECRET_NAME, secret)]).unwrap_err();
            assert!(error.starts_with(SECRET_NAME), "{error}");
        }
        let serve = serve("", &[production, ("SERVER_SECRET", LONG.1)]).unwrap();
        assert_eq!(serve.server.secret.secret().unwrap().expose(), LONG.1);
        assert_eq!(serve.log.level, LevelFilter::Info);
        assert!(serve.warnings.is_empty());
    }

    #[test]
    fn a_folder_of_secrets_that_cannot_be_looked_into_is_named() {
        // A name that is too long fails for root, too.
        let long = format!("/{}", "x".repeat(300));
        let error = serve("", &[("SG_ENV", "production"), ("SECRETS_PATH", &long)]).unwrap_err();
        assert!(error.starts_with(SECRET_NAME) && error.contains(&long), "{error}");
        assert!(serve("", &[("SECRETS_PATH", &long)]).is_ok(), "development has a default");
    }

    #[test]
    fn development_warns_of_the_default_secret() {
        let serve = serve("", &[(SECRET_NAME, "testing")]).unwrap();
        assert_eq!(serve.server.secret.secret().unwrap().expose(), "testing");
        assert!(serve.warnings[0].contains(SECRET_NAME));
    }

    #[test]
    fn a_file_of_tokens_is_enough_and_then_nobody_has_the_default_secret() {
        for mode in ["production", "development"] {
            let serve = serve("--tokens t.toml", &[("SG_ENV", mode), (SECRET_NAME, "testing")]);
            let config = serve.unwrap().server;
            assert_eq!(config.secret, SecretSource::None);
            assert_eq!(config.tokens, Some("t.toml".into()));
        }
        let both = serve("", &[("SG_TOKENS", "t.toml"), LONG]).unwrap().server;
        assert_eq!(both.secret.secret().unwrap().expose(), LONG.1);
        assert_eq!(both.tokens, Some("t.toml".into()));
    }

    #[test]
    fn a_short_secret_is_warned_of_but_taken() {
        let short = serve("", &[("SG_ENV", "production"), (SECRET_NAME, "fifteen-letters")]);
        let short = short.unwrap();
        assert_eq!(short.server.secret.secret().unwrap().expose(), "fifteen-letters");
        let [warning] = &short.warnings[..] else { panic!("{:?}", short.warnings) };
        assert!(warning.contains("16 characters") && !warning.contains("letters"), "{warning}");
        assert!(serve("", &[LONG]).unwrap().warnings.is_empty());
    }

    #[test]
    fn workers_are_accepted_with_a_warning() {
        assert!(serve("-w 1", &[LONG]).unwrap().warnings.is_empty());
        assert_eq!(serve("-w 4", &[LONG]).unwrap().warnings.len(), 1);
        assert_eq!(serve("", &[LONG, ("SG_PROCESS_COUNT", "2")]).unwrap().warnings.len(), 1);
    }

    #[test]
    fn every_ceiling_can_be_set_by_flag_and_by_variable() {
        let flags = serve(
            "--max-drivers 1 --max-ports 2 --max-devices 3 --max-devices-per-port 4 \
             --max-devices-per-address 5 --max-queued-bytes 64M --max-accepts-per-second 6",
            &[],
        );
        let variables = serve(
            "",
            &[
                ("SG_MAX_DRIVERS", "1"),
                ("SG_MAX_PORTS", "2"),
                ("SG_MAX_DEVICES", "3"),
                ("SG_MAX_DEVICES_PER_PORT", "4"),
                ("SG_MAX_DEVICES_PER_ADDRESS", "5"),
                ("SG_MAX_QUEUED_BYTES", "64M"),
                ("SG_MAX_ACCEPTS_PER_SECOND", "6"),
            ],
        );
        let expected = Ceilings {
            drivers: 1,
            ports: 2,
            devices: 3,
            devices_per_port: 4,
            devices_per_address: 5,
            queued_bytes: 64 << 20,
            accepts_per_second: 6,
        };
        assert_eq!(flags.unwrap().server.ceilings, expected);
        assert_eq!(variables.unwrap().server.ceilings, expected);
    }

    #[test]
    fn what_may_be_opened_and_where_comes_from_flags_or_variables() {
        let flags = "--allow-ports tcp:6000-6999,162 --device-bind 127.0.0.1 --device-bind ::1 \
                     --ping-seconds 5";
        let variables = [
            ("SG_ALLOW_PORTS", "tcp:6000-6999,162"),
            ("SG_DEVICE_BIND", "127.0.0.1, ::1"),
            ("SG_PING_SECONDS", "5"),
        ];
        for served in [serve(flags, &[]), serve("", &variables)] {
            let config = served.unwrap().server;
            assert_eq!(config.allow_ports.unwrap().to_string(), "tcp:6000-6999,162");
            assert_eq!(
                config.device_binds,
                ["127.0.0.1", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap())
            );
            assert_eq!(config.ping_interval, Duration::from_secs(5));
        }
    }

    #[test]
    fn the_service_manager_is_who_started_us() {
        let notify = |variables: &[(&str, &str)]| serve("", variables).unwrap().server.notify;
        assert_eq!(notify(&[]), NotifySettings::default());
        let (socket, patience) = (("NOTIFY_SOCKET", "@manager"), ("WATCHDOG_USEC", "30000000"));
        let settings = notify(&[socket, patience]);
        assert_eq!(settings.socket, Some("@manager".into()));
        assert_eq!(settings.watchdog, Some(Duration::from_secs(30)));
        let ours = process::id().to_string();
        assert!(notify(&[patience, ("WATCHDOG_PID", &ours)]).watchdog.is_some());
        assert_eq!(notify(&[patience, ("WATCHDOG_PID", "1")]).watchdog, None);
        assert_eq!(notify(&[("WATCHDOG_USEC", "0")]).watchdog, None);
        assert!(serve("", &[("WATCHDOG_USEC", "soon")]).is_err());
    }

    #[test]
    fn tls_proxies_and_the_accept_rule_come_from_flags_or_variables() {
        let serve = serve(
            "--tls-cert c.pem --trusted-proxies 10.0.0.0/8",
            &[("SG_TLS_KEY", "k.pem"), ("SG_FORBID_ACCEPT_ALL", "true")],
        );
        let config = serve.unwrap().server;
        assert_eq!(config.tls, Some(TlsFiles { cert: "c.pem".into(), key: "k.pem".into() }));
        assert_eq!(config.trusted_proxies.unwrap().to_string(), "10.0.0.0/8");
        assert!(config.forbid_accept_all);
    }
}
