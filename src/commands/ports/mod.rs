//! `dispatch ports`: which ports are open, and of one port who is there, what passed, and who was
//! turned away and why.

use std::process::ExitCode;
use std::thread;

use serde_json::Value as Json;

use crate::commands::cli::PortsArgs;
use crate::commands::client::ServerError;
use crate::commands::client::http::{Method, ask};
use crate::commands::client::server::Server;
use crate::commands::environment::Environment;
use crate::commands::terminal::failure::{Failure, exit};
use crate::commands::terminal::interrupt::Interrupt;
use crate::commands::terminal::palette::Palette;
use crate::commands::terminal::{self, json_line, size, write_out};
use crate::limits::{PORTS_PAGES_MAX, PORTS_WATCH_INTERVAL};
use crate::logging::form::Form;
use crate::protocol::http::registration::PortKind;
use crate::protocol::http::response::Status;

mod figures;
mod tables;

use figures::{Before, list, number, text};
use tables::View;

/// Puts the cursor at the top left and clears the screen.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Asks, once or again and again.
pub fn run(args: &PortsArgs, environment: &Environment) -> ExitCode {
    exit(ports(args, environment))
}

/// The path of a port, below a server's base path. TLS ports are among the TCP ports.
pub fn port_path(kind: PortKind, port: u16) -> String {
    format!("/ports/{kind}/{port}")
}

fn ports(args: &PortsArgs, environment: &Environment) -> Result<(), Failure> {
    let server = Server::of(&args.server, environment)?;
    let form = terminal::form(args.json, environment)?;
    if !args.watch {
        return look(&server, args.port, &form);
    }
    // There is nothing to be closed in good order: a signal ends it at once, with success.
    let _interrupt = Interrupt::install()?;
    let screen = size().filter(|_| !args.json);
    let screen = if terminal::is_dumb(environment)? { None } else { screen };
    watch(&server, args.port, &form, screen)
}

fn look(server: &Server, port: Option<u16>, form: &Form) -> Result<(), Failure> {
    let all = all_ports(server)?;
    match port {
        Some(port) => look_at(server, &all, port, form),
        None => show(form, &all, |view, all| view.ports(all)),
    }
}

/// Shows a port, all of its devices, and who was refused it.
fn look_at(server: &Server, all: &Json, port: u16, form: &Form) -> Result<(), Failure> {
    let mut was_open = false;
    for kind in open_kinds(all, port) {
        let mut next = page(server, kind, port, None)?;
        while let Some(answer) = next {
            let apart = if was_open { "\n" } else { "" };
            show(form, &answer, |view, answer| format!("{apart}{}", view.port(answer)))?;
            was_open = true;
            next = match answer["next"].as_u64() {
                Some(after) => page(server, kind, port, Some(after))?,
                None => None,
            };
        }
    }
    let refused = |view: &View<'_>, all: &Json| view.refused_for(all, port);
    match (form, was_open) {
        (Form::Json, _) => {}
        (Form::Plain(_) | Form::Coloured(_), true) => show(form, all, refused)?,
        (Form::Plain(_) | Form::Coloured(_), false) => {
            show(form, all, |view, all| refused(view, all).trim_start().to_owned())?;
        }
    }
    if was_open { Ok(()) } else { Err(not_open(port)) }
}

/// Prints an answer.
fn show(
    form: &Form,
    answer: &Json,
    in_words: impl Fn(&View<'_>, &Json) -> String,
) -> Result<(), Failure> {
    let width = size().map(|(width, _)| width);
    let view = View { width, palette: Palette::of(form), before: None };
    Ok(write_out(&match form {
        Form::Json => json_line(answer),
        Form::Plain(_) | Form::Coloured(_) => in_words(&view, answer),
    })?)
}

/// Which ports of this number are open.
fn open_kinds(all: &Json, port: u16) -> Vec<PortKind> {
    let of_number = list(all, "ports").filter(|it| number(it, "port") == u64::from(port));
    let kinds = of_number.map(|port| match text(port, "protocol") {
        "udp" => PortKind::Datagram,
        _tcp_or_tls => PortKind::Stream,
    });
    kinds.collect()
}

fn not_open(port: u16) -> Failure {
    Failure::Other(format!("port {port} is not open: no driver has it"))
}

/// The ports of all pages, in the answer that the first one is in.
fn all_ports(server: &Server) -> Result<Json, ServerError> {
    let mut all = get(server, "/ports")?;
    for _ in 0..PORTS_PAGES_MAX {
        let Some(after) = all["next"].as_str() else { break };
        let mut page = get(server, &format!("/ports?after={after}"))?;
        let more = page["ports"].as_array_mut().map(std::mem::take).unwrap_or_default();
        all["next"] = page["next"].take();
        if let Some(ports) = all["ports"].as_array_mut() {
            ports.extend(more);
        }
    }
    Ok(all)
}

/// The port with the devices after this one, or `None` where it has been closed meanwhile.
fn page(
    server: &Server,
    kind: PortKind,
    port: u16,
    after: Option<u64>,
) -> Result<Option<Json>, Failure> {
    let query = after.map(|after| format!("?after={after}")).unwrap_or_default();
    match get(server, &format!("{}{query}", port_path(kind, port))) {
        Ok(answer) => Ok(Some(answer)),
        Err(ServerError::Refused { status, .. }) if status == Status::NotFound.code() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn get(server: &Server, path: &str) -> Result<Json, ServerError> {
    let answer = ask(server, Method::Get, path)?;
    serde_json::from_slice(&answer)
        .map_err(|error| ServerError::Failed(format!("no valid answer: {error}")))
}

/// Shows the same again and again, with what passes a second in place of what passed: on one screen
/// where there is one, else one below the other.
fn watch(
    server: &Server,
    port: Option<u16>,
    form: &Form,
    screen: Option<(usize, usize)>,
) -> Result<(), Failure> {
    let mut before = Before::default();
    loop {
        let answers = answers(server, port)?;
        let shown = match form {
            Form::Json => answers.iter().map(json_line).collect(),
            Form::Plain(_) | Form::Coloured(_) => {
                let width = size().map(|(width, _)| width);
                let view = View { width, palette: Palette::of(form), before: Some(&before) };
                on_screen(&view.all(&answers, port), screen)
            }
        };
        write_out(&shown)?;
        before = Before::of(&answers);
        thread::sleep(PORTS_WATCH_INTERVAL);
    }
}

/// Those of the port with one page of devices each, and that of all ports at the end.
fn answers(server: &Server, port: Option<u16>) -> Result<Vec<Json>, Failure> {
    let all = all_ports(server)?;
    let mut answers = Vec::new();
    if let Some(port) = port {
        for kind in open_kinds(&all, port) {
            answers.extend(page(server, kind, port, None)?);
        }
    }
    answers.push(all);
    Ok(answers)
}

/// As many lines as there is room for.
fn on_screen(shown: &str, screen: Option<(usize, usize)>) -> String {
    // The cursor stands on the last line.
    let Some(room) = screen.and_then(|_| size()).map(|(_, height)| height.saturating_sub(1)) else {
        return format!("{shown}\n");
    };
    let lines: Vec<_> = shown.lines().collect();
    let mut screen = CLEAR.to_owned();
    let fitting = if lines.len() > room { room.saturating_sub(1) } else { lines.len() };
    for line in &lines[..fitting] {
        screen.extend([line, "\n"]);
    }
    if fitting < lines.len() {
        screen.push_str(&format!("… {} more lines\n", lines.len() - fitting));
    }
    screen
}
