//! Colours, by what they mean.

use crate::logging::form::Form;

/// What switches colours on and off; nothing for a form without them.
#[derive(Debug)]
pub struct Palette {
    /// What matters less.
    pub faint: &'static str,
    /// A device came.
    pub opened: &'static str,
    /// A device went.
    pub closed: &'static str,
    /// A device said something.
    pub received: &'static str,
    /// A driver said something.
    pub sent: &'static str,
    /// Something is not as it should be.
    pub alarming: &'static str,
    /// The head of a table.
    pub title: &'static str,
    /// The end of all of them.
    pub reset: &'static str,
}

const PLAIN: Palette = Palette {
    faint: "",
    opened: "",
    closed: "",
    received: "",
    sent: "",
    alarming: "",
    title: "",
    reset: "",
};

const COLOURED: Palette = Palette {
    faint: "\x1b[90m",
    opened: "\x1b[32m",
    closed: "\x1b[33m",
    received: "\x1b[36m",
    sent: "\x1b[35m",
    alarming: "\x1b[31m",
    title: "\x1b[1m",
    reset: "\x1b[0m",
};

impl Palette {
    /// That of a form.
    pub const fn of(form: &Form) -> &'static Palette {
        match form {
            Form::Json | Form::Plain(_) => &PLAIN,
            Form::Coloured(_) => &COLOURED,
        }
    }
}
