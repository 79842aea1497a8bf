//! A client that becomes another user: `COM_CHANGE_USER`.

use zeroize::Zeroizing;

use crate::exchange::{Exchange, Fault, Step};
use crate::inbox::Inbox;
use crate::mysql::Wish;
use crate::mysql::greeting::Flavour;
use crate::mysql::wish::Asked;

use super::judge::Judge;
use super::{Arrival, Ask, Nonce, Switched, Turn, announced, judged, malformed_login};

/// A client's change of its user, taken in. It proves anew, with a nonce of its own.
#[derive(Debug)]
pub struct Change(State);

#[derive(Debug)]
enum State {
    Asked { asked: Asked, judge: Judge },
    Switched(Switched),
}

impl Change {
    /// Takes the payload of `COM_CHANGE_USER`, from its first byte on, in a session that was opened for `before`.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn new(
        payload: &[u8],
        before: &Wish,
        flavour: Flavour,
        ask: Ask,
        tls: bool,
    ) -> Result<Self, Fault> {
        let asked = Asked::parse_change(payload, before)
            .map_err(|malformed| malformed_login(&malformed, 1))?;
        Ok(Self(State::Asked {
            asked,
            judge: Judge { ask, announced: None, fallback: announced(flavour), tls },
        }))
    }
}

fn step(turn: Turn) -> Step<Change> {
    match turn {
        Turn::Ask(bytes, switched) => {
            Step::Write(Zeroizing::new(bytes), Change(State::Switched(switched)))
        }
        Turn::In(bytes, arrival) => Step::Done(bytes, arrival),
    }
}

impl Exchange for Change {
    type Outcome = Arrival;

    fn advance(self, inbox: &mut Inbox) -> Result<Step<Self>, Fault> {
        match self.0 {
            // The proof that comes along was made with a nonce of the login, which is not kept.
            State::Asked { asked, judge } => Ok(step(judged(judge, asked, &Nonce(Vec::new()), 1)?)),
            State::Switched(switched) => Ok(match switched.take(inbox)? {
                Ok(turn) => step(turn),
                Err(switched) => Step::Read(Self(State::Switched(switched))),
            }),
        }
    }
}
