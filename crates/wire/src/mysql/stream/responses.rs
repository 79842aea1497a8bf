//! What a server sends.

use crate::mysql::Capabilities;
use crate::mysql::codec::{self, EOF, ERR, Fields, HEADER, LOCAL_FILE, MAX_PAYLOAD, OK};
use crate::mysql::response::status;

use super::{Kind, Phase, Shared};

/// The most that has to be seen of a payload, in bytes: of an OK up to its status; the head of a prepared statement is shorter.
const HEAD: usize = 21;

/// The length from which on a packet that begins as an EOF is none, where rows end with one ("EOF_Packet").
const NO_EOF: usize = 9;

/// The number of an ERR that is none: it says how far a statement is (`MARIADB_CLIENT_PROGRESS`).
const PROGRESS: u16 = 0xffff;

/// The least that an OK holds, in bytes: its kind, two counts, status and warnings.
const SHORTEST_OKAY: usize = 7;

/// The most columns of rows that are followed: servers have 4,096.
const MAX_COLUMNS: u64 = 65_535;

/// Where the server's stream stands.
#[derive(Debug)]
pub(super) struct Answers {
    /// So many bytes before the next header.
    left: usize,
    /// Whether what begins there is a part of what was before.
    goes_on: bool,
    /// The beginning of a packet that comes in parts: so many bytes of it.
    held: [u8; HEADER + HEAD],
    count: usize,
    stage: Stage,
    status: Option<u16>,
}

/// How far the answer to the first command that waits has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it has come.
    First,
    /// A result is over, and another follows.
    Next,
    /// So many packets follow that describe; then this.
    ColumnDefinitions(u64, Behind),
    /// The EOF behind the descriptions of columns.
    ColumnsEof,
    /// Rows.
    Rows,
}

/// What follows descriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Middle,
    Rows,
    Nothing,
}

impl Answers {
    pub(super) fn new(status: u16) -> Self {
        Self {
            left: 0,
            goes_on: false,
            held: [0; HEADER + HEAD],
            count: 0,
            stage: Stage::First,
            status: Some(status),
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(super) fn is_between(&self) -> bool {
        self.left == 0 && !self.goes_on && self.count == 0 && self.stage == Stage::First
    }

    pub(super) fn follow(&mut self, shared: &mut Shared, bytes: &[u8]) {
        let mut rest = bytes;
        while shared.course != Phase::Lost {
            let skipped = self.left.min(rest.len());
            self.left -= skipped;
            rest = rest.get(skipped..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            rest = if self.count > 0 {
                self.gather(shared, rest)
            } else if self.packet(shared, rest) {
                rest.get(HEADER..).unwrap_or_default()
            } else {
                self.count = rest.len();
                self.held.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
                return;
            };
        }
    }

    /// One byte more of a packet that comes in parts.
    fn gather<'a>(&mut self, shared: &mut Shared, rest: &'a [u8]) -> &'a [u8] {
        let (Some((byte, behind)), Some(slot)) =
            (rest.split_first(), self.held.get_mut(self.count))
        else {
            return &[];
        };
        *slot = *byte;
        self.count += 1;
        let held = self.held;
        if self.packet(shared, held.get(..self.count).unwrap_or_default()) {
            self.left = self.left.saturating_sub(self.count - HEADER);
            self.count = 0;
        }
        behind
    }

    /// Enters a packet from its header on, if as much is here as has to be seen: less than is held where it isn't.
    #[inline]
    fn packet(&mut self, shared: &mut Shared, bytes: &[u8]) -> bool {
        let Some((header, payload)) = bytes.split_first_chunk::<HEADER>() else {
            return false;
        };
        let (length, _) = codec::header_of(*header);
        if !self.goes_on {
            // What stands behind an empty packet is not its own.
            let Some(first) = (if length == 0 { Some(&OK) } else { payload.first() }) else {
                return false;
            };
            // Most of what ever comes are rows: one look at one byte.
            if self.stage != Stage::Rows || *first >= EOF {
                let Some(head) = payload.get(..length.min(HEAD)) else {
                    return false;
                };
                self.enter(shared, length, head);
            }
        }
        self.left = length;
        self.goes_on = length == MAX_PAYLOAD;
        true
    }

    /// Takes the head of a packet that may end something.
    fn enter(&mut self, shared: &mut Shared, length: usize, head: &[u8]) {
        let Some(kind) = shared.awaited.front().copied() else {
            // It comes unasked: the session is being ended.
            return shared.lose();
        };
        if shared.course == Phase::Upload {
            return shared.lose();
        }
        let stage = match self.stage {
            Stage::First | Stage::Next => self.first(shared, kind, head),
            Stage::ColumnDefinitions(..) | Stage::ColumnsEof | Stage::Rows
                if head.first() == Some(&ERR) =>
            {
                self.error(head)
            }
            Stage::ColumnDefinitions(1, Behind::Middle) => {
                Some(Transition::Stage(Stage::ColumnsEof))
            }
            Stage::ColumnDefinitions(1, Behind::Rows) => Some(Transition::Stage(Stage::Rows)),
            Stage::ColumnDefinitions(1, Behind::Nothing) => Some(Transition::Over),
            Stage::ColumnDefinitions(left, behind) => {
                Some(Transition::Stage(Stage::ColumnDefinitions(left - 1, behind)))
            }
            Stage::ColumnsEof => self.middle(kind, length, head),
            Stage::Rows => self.rows(shared.capabilities, kind, length, head),
        };
        match stage {
            Some(Transition::Stage(stage)) => self.stage = stage,
            Some(Transition::Same) => {}
            Some(Transition::Over) => {
                self.stage = Stage::First;
                shared.awaited.pop_front();
            }
            None => shared.lose(),
        }
    }

    /// The first packet of an answer, or of a result.
    fn first(&mut self, shared: &mut Shared, kind: Kind, head: &[u8]) -> Option<Transition> {
        match (kind, head.first()?) {
            (Kind::Text, _) => Some(Transition::Over),
            (_, &ERR) => self.error(head),
            (Kind::Rows, _) => {
                // The first row, or the first description.
                self.stage = Stage::Rows;
                let is_eof = head.first() == Some(&EOF);
                if is_eof {
                    self.rows(shared.capabilities, kind, head.len(), head)
                } else {
                    Some(Transition::Same)
                }
            }
            (Kind::Single, &EOF) => self.over(kind, eof_status(head, shared.capabilities)?),
            (Kind::Single | Kind::Results | Kind::Execution, &OK) => {
                self.over(kind, okay_status(head)?)
            }
            (Kind::Single, _) => None,
            (Kind::Prepared, &OK) if self.stage == Stage::First => {
                prepared(head, shared.capabilities)
            }
            (Kind::Prepared, _) => None,
            (Kind::Results | Kind::Execution, &LOCAL_FILE) => {
                if shared.awaited.len() > 1 {
                    // What the client sent ahead is a file's now.
                    return None;
                }
                shared.course = Phase::Upload;
                Some(Transition::Stage(Stage::Next))
            }
            (Kind::Results | Kind::Execution, _) => columns(head, shared.capabilities),
        }
    }

    /// An ERR ends all that was asked for with the command.
    fn error(&mut self, head: &[u8]) -> Option<Transition> {
        let mut fields = Fields(head.get(1..)?);
        if fields.u16()? == PROGRESS {
            return Some(Transition::Same);
        }
        self.status = None;
        Some(Transition::Over)
    }

    /// A result ends with this status.
    fn over(&mut self, kind: Kind, status: u16) -> Option<Transition> {
        self.status = Some(status);
        let more =
            status & status::MORE_RESULTS != 0 && matches!(kind, Kind::Results | Kind::Execution);
        Some(if more { Transition::Stage(Stage::Next) } else { Transition::Over })
    }

    /// The EOF between columns and rows.
    fn middle(&mut self, kind: Kind, length: usize, head: &[u8]) -> Option<Transition> {
        if head.first() != Some(&EOF) || length >= NO_EOF {
            return None;
        }
        let status = old_status(head)?;
        if kind == Kind::Execution && status & status::CURSOR_EXISTS != 0 {
            return self.over(kind, status);
        }
        Some(Transition::Stage(Stage::Rows))
    }

    /// Among rows, what begins as their end does.
    fn rows(
        &mut self,
        capabilities: Capabilities,
        kind: Kind,
        length: usize,
        head: &[u8],
    ) -> Option<Transition> {
        let longest =
            if capabilities.has(Capabilities::DEPRECATE_EOF) { MAX_PAYLOAD } else { NO_EOF };
        // A text of 16 MiB and more begins so too, and with it the row is as long.
        if length >= longest {
            return Some(Transition::Same);
        }
        self.over(kind, eof_status(head, capabilities)?)
    }
}

/// What comes next.
enum Transition {
    /// The same again.
    Same,
    Stage(Stage),
    /// The answer is over.
    Over,
}

/// The status in an OK.
fn okay_status(head: &[u8]) -> Option<u16> {
    let mut fields = Fields(head.get(1..)?);
    fields.integer()?;
    fields.integer()?;
    fields.u16()
}

/// The status in an EOF, or in the OK that takes its place; the old form is as short as no OK is.
fn eof_status(head: &[u8], capabilities: Capabilities) -> Option<u16> {
    if capabilities.has(Capabilities::DEPRECATE_EOF) && head.len() >= SHORTEST_OKAY {
        okay_status(head)
    } else {
        old_status(head)
    }
}

/// The status in an EOF of the old form, behind the count of warnings.
fn old_status(head: &[u8]) -> Option<u16> {
    let mut fields = Fields(head.get(1..)?);
    fields.u16()?;
    fields.u16()
}

/// A count of columns, and whether they are described.
fn columns(head: &[u8], capabilities: Capabilities) -> Option<Transition> {
    let mut fields = Fields(head);
    let count = fields.integer().filter(|count| (1..=MAX_COLUMNS).contains(count))?;
    let optional =
        capabilities.has_any(Capabilities::OPTIONAL_METADATA | Capabilities::CACHE_METADATA);
    let described = if optional { fields.u8()? == 1 } else { true };
    let behind =
        if capabilities.has(Capabilities::DEPRECATE_EOF) { Behind::Rows } else { Behind::Middle };
    Some(Transition::Stage(match (described, behind) {
        (true, behind) => Stage::ColumnDefinitions(count, behind),
        (false, Behind::Middle) => Stage::ColumnsEof,
        (false, Behind::Rows | Behind::Nothing) => Stage::Rows,
    }))
}

/// The head of a prepared statement: descriptions of parameters and of columns follow, each of the two with an EOF behind it.
fn prepared(head: &[u8], capabilities: Capabilities) -> Option<Transition> {
    let mut fields = Fields(head.get(5..)?);
    let (columns, parameters) = (u64::from(fields.u16()?), u64::from(fields.u16()?));
    fields.bytes(3)?;
    let described = !capabilities.has(Capabilities::OPTIONAL_METADATA) || fields.u8()? == 1;
    let end = u64::from(!capabilities.has(Capabilities::DEPRECATE_EOF));
    let packets = |count: u64| {
        let descriptions = if described { count } else { 0 };
        if count == 0 { 0 } else { descriptions + end }
    };
    Some(match packets(parameters) + packets(columns) {
        0 => Transition::Over,
        count => Transition::Stage(Stage::ColumnDefinitions(count, Behind::Nothing)),
    })
}
