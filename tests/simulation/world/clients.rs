//! What HTTP clients of the world do that are no drivers.

use std::net::Ipv4Addr;

use crate::actors::behaviour::Behaviour;
use crate::actors::client::ClientActor;
use crate::actors::line::Line;
use crate::history::{ClientAction, Op};
use crate::network::Id;

use super::scenario::HTTP_PORT;
use super::state::{Checked, World};

impl World {
    pub(super) fn apply_to_client(&mut self, action: ClientAction, op: &Op) -> Checked {
        match action {
            ClientAction::Asks => self.client_asks(op, Behaviour::Correct),
            ClientAction::ManyAsk => self.many_clients_ask(op),
            ClientAction::Dawdles => self.client_asks(op, Behaviour::Faulty),
            ClientAction::Leaves => {
                self.client_leaves(op);
                Ok(())
            }
        }
    }

    fn client_asks(&mut self, op: &Op, behaviour: Behaviour) -> Checked {
        let from = (Ipv4Addr::new(127, 0, 0, 2), 40_000).into();
        let connected = self.net.wire().connect(HTTP_PORT, from);
        let Some(id) = connected else { return Ok(()) };
        let line = match behaviour {
            Behaviour::Faulty if op.amount.is_multiple_of(3) => Line::plain(id),
            Behaviour::Correct | Behaviour::Faulty => self.http_line(id)?,
        };
        self.clients.push(ClientActor::new(line, op.amount, behaviour));
        Ok(())
    }

    /// More at once than are taken in one turn, but for TLS, which takes time.
    fn many_clients_ask(&mut self, op: &Op) -> Checked {
        let count = if self.scenario.has_https { 12 } else { 80 };
        (0..count).try_for_each(|at| {
            self.client_asks(&Op { amount: op.amount + at, ..*op }, Behaviour::Correct)
        })
    }

    /// A connection to our own listener.
    pub(super) fn http_line(&self, id: Id) -> Result<Line, String> {
        match self.scenario.has_https {
            true => Line::tls(id, usize::MAX),
            false => Ok(Line::plain(id)),
        }
    }

    fn client_leaves(&mut self, op: &Op) {
        let count = self.clients.len();
        if count > 0 {
            let client = self.clients.swap_remove(op.who % count);
            match op.amount.is_multiple_of(2) {
                true => self.net.wire().peer_close(client.id()),
                false => self.net.wire().peer_reset(client.id()),
            }
        }
    }
}
