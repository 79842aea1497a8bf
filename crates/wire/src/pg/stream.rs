//! Where messages begin and end in a session that is handed through. Nothing is kept of it but a header that has come in
//! parts.

use crate::sql::word;

/// The most a message says to hold, in bytes (`MaxAllocSize`, which PostgreSQL goes to in both directions).
pub const MAX_MESSAGE: u32 = 1 << 30;

/// What a client sends behind its login.
#[derive(Debug, Default)]
pub struct FrontendTracker {
    place: Place,
    awaited: u64,
    messages: u64,
    course: Course,
    takes_database: bool,
}

#[derive(Debug, Default)]
enum Course {
    #[default]
    Open,
    Terminated,
}

/// How much of some bytes goes on to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardPlan {
    /// All of them.
    All,
    /// So many: behind them a `Terminate` begins, which is not to be forwarded, and nothing after it.
    Until(usize),
}

impl FrontendTracker {
    /// Goes over what is to be forwarded.
    pub fn follow(&mut self, bytes: &[u8]) -> ForwardPlan {
        if let Course::Terminated = self.course {
            return ForwardPlan::Until(0);
        }
        let mut rest = bytes;
        loop {
            // Seen at the message's first byte: the rest of the header may not be here, and that byte isn't to go on.
            if self.place.is_between(&mut rest) && rest.first() == Some(&b'X') {
                self.course = Course::Terminated;
                return ForwardPlan::Until(bytes.len() - rest.len());
            }
            match self.place.next(&mut rest) {
                Some(kind) => {
                    self.messages += 1;
                    self.awaited += u64::from(matches!(kind, b'Q' | b'S' | b'F'));
                    self.takes_database |= statement(kind, rest).is_some_and(takes_database);
                }
                None => return ForwardPlan::All,
            }
        }
    }

    /// Whether nothing has been asked for, not even by half, but for the end.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        matches!(self.place, Place::Body(0)) && self.messages == 0
    }

    /// Whether a statement has gone by, since this was asked last, that the server refuses as long as others are in the database
    /// that it names: `DROP`, `ALTER` or `CREATE DATABASE`. One that begins with a comment, or whose beginning comes in parts, is
    /// not seen.
    pub fn take_exclusive_ddl_flag(&mut self) -> bool {
        std::mem::take(&mut self.takes_database)
    }

    /// How many `ReadyForQuery` the server owes at most for what went by: one for each `Query`, `Sync` and `FunctionCall`.
    ///
    /// It gives fewer where it skips some: a `Sync` within a `COPY … FROM STDIN`, and what follows a mistake up to the next
    /// `Sync`. It never gives more. Where the stream can't be followed any longer, this is more than it can ever give.
    #[must_use]
    pub fn expected_ready(&self) -> u64 {
        if let Place::Lost = self.place { u64::MAX } else { self.awaited }
    }
}

/// What there is of a statement's text, behind the header of a message that has one.
fn statement(kind: u8, body: &[u8]) -> Option<&[u8]> {
    match kind {
        b'Q' => Some(body),
        // Behind the name that it is prepared under.
        b'P' => body.splitn(2, |byte| *byte == 0).nth(1),
        _ => None,
    }
}

fn takes_database(statement: &[u8]) -> bool {
    let statement = statement.trim_ascii_start();
    let verbs: [&[u8]; 3] = [b"DROP", b"ALTER", b"CREATE"];
    let object = verbs.iter().find_map(|verb| word(statement, verb));
    object.is_some_and(|object| word(object, b"DATABASE").is_some())
}

/// What a server sends behind the login.
#[derive(Debug, Default)]
pub struct BackendTracker {
    place: Place,
    given: u64,
    standing: Standing,
}

#[derive(Debug, Default, Clone, Copy)]
enum Standing {
    /// An answer is under way, or none was asked for yet.
    #[default]
    Elsewhere,
    /// The header of a `ReadyForQuery` has come, its status has not.
    Due,
    /// A `ReadyForQuery` has come, and since then only what comes unasked.
    Ready(u8),
}

impl BackendTracker {
    /// Goes over what is forwarded.
    pub fn follow(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            self.settle(rest);
            match self.place.next(&mut rest) {
                Some(b'Z') => self.standing = Standing::Due,
                // `NotificationResponse`, `NoticeResponse` and `ParameterStatus` come at any time.
                Some(b'A' | b'N' | b'S') => {}
                Some(_) => self.standing = Standing::Elsewhere,
                None => return,
            }
        }
    }

    /// Takes the status, which is the only byte of its message.
    fn settle(&mut self, rest: &[u8]) {
        let (Standing::Due, Some(status)) = (self.standing, rest.first()) else {
            return;
        };
        if let Place::Body(1) = self.place {
            self.standing = Standing::Ready(*status);
            self.given += 1;
        } else {
            self.place = Place::Lost;
        }
    }

    /// How many `ReadyForQuery` have come.
    #[must_use]
    pub fn received_ready(&self) -> u64 {
        self.given
    }

    /// The status of the last `ReadyForQuery`, where the stream stands behind it or behind what came unasked since: `I`
    /// outside of a transaction, `T` within one, `E` within a failed one. Whether something was asked meanwhile, only
    /// [`Requests::awaited`] tells.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        match (self.standing, &self.place) {
            (
                Standing::Ready(status @ (b'I' | b'T' | b'E')),
                Place::Header { count: 0, .. } | Place::Body(0),
            ) => Some(status),
            _ => None,
        }
    }
}

/// Where the stream stands.
#[derive(Debug)]
enum Place {
    /// Within a header, of which so many bytes have come.
    Header { held: [u8; 5], count: usize },
    /// So many bytes before the next header.
    Body(usize),
    /// A length can't be right: from here on nobody knows where messages begin.
    Lost,
}

impl Default for Place {
    fn default() -> Self {
        Self::Body(0)
    }
}

impl Place {
    /// Skips what is left of a body, and says whether a header begins here.
    #[inline]
    fn is_between(&mut self, rest: &mut &[u8]) -> bool {
        let Self::Body(left) = self else { return false };
        let skipped = (*left).min(rest.len());
        *left -= skipped;
        *rest = rest.get(skipped..).unwrap_or_default();
        *left == 0
    }

    /// The kind of the next message, once its header is complete; `None` where the bytes end before.
    #[inline]
    fn next(&mut self, rest: &mut &[u8]) -> Option<u8> {
        if self.is_between(rest) {
            if let Some((header, behind)) = rest.split_first_chunk() {
                *rest = behind;
                return self.enter(*header);
            }
            if rest.is_empty() {
                return None;
            }
            *self = Self::Header { held: [0; 5], count: 0 };
        }
        self.gather(rest)
    }

    /// A header that comes in parts.
    fn gather(&mut self, rest: &mut &[u8]) -> Option<u8> {
        let Self::Header { held, count } = self else {
            return None;
        };
        while let Some(slot) = held.get_mut(*count) {
            let (byte, behind) = rest.split_first()?;
            *slot = *byte;
            *count += 1;
            *rest = behind;
        }
        let held = *held;
        self.enter(held)
    }

    #[inline]
    fn enter(&mut self, header: [u8; 5]) -> Option<u8> {
        let [kind, length @ ..] = header;
        let length = u32::from_be_bytes(length);
        if !(4..=MAX_MESSAGE).contains(&length) {
            *self = Self::Lost;
            return None;
        }
        *self = Self::Body(usize::try_from(length - 4).unwrap_or(usize::MAX));
        Some(kind)
    }
}

#[cfg(test)]
mod tests;
