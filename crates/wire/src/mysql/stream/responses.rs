//! Responses of the server, from their first packet to their last ("Command Phase" of MySQL's
//! source documentation).

use crate::mysql::Capabilities;
use crate::mysql::codec::{EOF, ERR, Fields, LOCAL_FILE, MAX_PAYLOAD, OK};
use crate::mysql::response::status;

use super::packet_reader::Head;
use super::state::{Phase, ResponseKind, SharedState};

/// Length from which a packet that starts with 0xfe is a row instead of an EOF packet
/// ("EOF_Packet").
const MIN_ROW_LEN: usize = 9;

/// Error number of a progress report, which does not end the response (`MARIADB_CLIENT_PROGRESS`).
const PROGRESS: u16 = 0xffff;

/// Minimum length of an OK packet, in bytes: type, two counts, status flags and warnings.
const MIN_OK_LEN: usize = 7;

/// Maximum number of tracked columns. Servers support 4,096.
const MAX_COLUMNS: u64 = 65_535;

/// Progress of the response to the oldest pending command.
#[derive(Debug)]
pub(super) struct Responses {
    state: State,
    status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first packet of the response.
    Start,
    /// Before the first packet of a further result.
    NextResult,
    /// This many column definitions of a result follow.
    ColumnDefinitions(u64),
    /// The EOF packet after the column definitions follows.
    ColumnsEof,
    /// Rows and their end follow.
    Rows,
    /// This many packets that describe a prepared statement follow.
    PreparedDefinitions(u64),
}

/// Effect of a packet on the response.
enum Transition {
    /// The state is unchanged.
    Stay,
    To(State),
    /// The response is complete.
    End,
}

impl Responses {
    pub(super) fn new(status: u16) -> Self {
        Self { state: State::Start, status: Some(status) }
    }

    /// Returns the status flags of the last result; `None` after an ERR packet.
    pub(super) fn status(&self) -> Option<u16> {
        self.status
    }

    pub(super) fn is_at_start(&self) -> bool {
        self.state == State::Start
    }

    pub(super) fn is_within_rows(&self) -> bool {
        self.state == State::Rows
    }

    /// Advances the response to the oldest pending command. An unexpected packet ends the tracking:
    /// the server sends one when it closes the session.
    pub(super) fn on_packet(&mut self, shared: &mut SharedState, packet: &Head) {
        let kind = shared.pending.front().copied();
        let kind = kind.filter(|_| shared.phase != Phase::Upload);
        match kind.and_then(|kind| self.transition(shared, kind, packet)) {
            Some(Transition::Stay) => {}
            Some(Transition::To(state)) => self.state = state,
            Some(Transition::End) => {
                self.state = State::Start;
                shared.pending.pop_front();
            }
            None => shared.desync(),
        }
    }

    /// Returns the effect of a packet, or `None` if it is not valid in this state.
    fn transition(
        &mut self,
        shared: &mut SharedState,
        kind: ResponseKind,
        packet: &Head,
    ) -> Option<Transition> {
        match self.state {
            State::Start | State::NextResult => self.on_first_packet(shared, kind, packet),
            _ if packet.first() == Some(ERR) => self.on_err(packet),
            State::ColumnDefinitions(1) => {
                Some(Transition::To(after_column_definitions(shared.capabilities)))
            }
            State::ColumnDefinitions(left) => {
                Some(Transition::To(State::ColumnDefinitions(left - 1)))
            }
            State::ColumnsEof => self.on_columns_eof(kind, packet),
            State::Rows => self.on_row(shared.capabilities, kind, packet),
            State::PreparedDefinitions(1) => Some(Transition::End),
            State::PreparedDefinitions(left) => {
                Some(Transition::To(State::PreparedDefinitions(left - 1)))
            }
        }
    }

    /// Handles the first packet of a response or of a further result.
    fn on_first_packet(
        &mut self,
        shared: &mut SharedState,
        kind: ResponseKind,
        packet: &Head,
    ) -> Option<Transition> {
        use ResponseKind::{Execution, Prepared, Results, Rows, Single, Text};
        let capabilities = shared.capabilities;
        match (kind, packet.first()?) {
            (Text, _) => Some(Transition::End),
            (_, ERR) => self.on_err(packet),
            (Rows, _) => {
                self.state = State::Rows;
                self.on_row(capabilities, kind, packet)
            }
            (Single, EOF) => self.end_result(kind, eof_status(packet, capabilities)?),
            (Single | Results | Execution, OK) => self.end_result(kind, ok_status(packet)?),
            (Prepared, OK) if self.state == State::Start => {
                prepared_statement(packet, capabilities)
            }
            (Single | Prepared, _) => None,
            // If the client has already sent further commands, the server reads them as the file's
            // content.
            (Results | Execution, LOCAL_FILE) if shared.pending.len() > 1 => None,
            (Results | Execution, LOCAL_FILE) => {
                shared.phase = Phase::Upload;
                Some(Transition::To(State::NextResult))
            }
            (Results | Execution, _) => column_count(packet, capabilities),
        }
    }

    /// Handles an ERR packet, which ends all results of the command.
    fn on_err(&mut self, packet: &Head) -> Option<Transition> {
        let mut fields = Fields(packet.bytes().get(1..)?);
        if fields.u16()? == PROGRESS {
            return Some(Transition::Stay);
        }
        self.status = None;
        Some(Transition::End)
    }

    /// Handles the EOF packet between column definitions and rows. If it reports an open cursor, no
    /// rows follow.
    fn on_columns_eof(&mut self, kind: ResponseKind, packet: &Head) -> Option<Transition> {
        if packet.first() != Some(EOF) || packet.length >= MIN_ROW_LEN {
            return None;
        }
        let status = old_eof_status(packet)?;
        if kind == ResponseKind::Execution && status & status::CURSOR_EXISTS != 0 {
            return self.end_result(kind, status);
        }
        Some(Transition::To(State::Rows))
    }

    /// Handles a row, or the EOF or OK packet that ends the rows. A row may start with 0xfe too:
    /// then its first value is 16 MiB or longer, and so is the row.
    fn on_row(
        &mut self,
        capabilities: Capabilities,
        kind: ResponseKind,
        packet: &Head,
    ) -> Option<Transition> {
        let min_row_len =
            if capabilities.has(Capabilities::DEPRECATE_EOF) { MAX_PAYLOAD } else { MIN_ROW_LEN };
        if packet.first() != Some(EOF) || packet.length >= min_row_len {
            return Some(Transition::Stay);
        }
        self.end_result(kind, eof_status(packet, capabilities)?)
    }

    /// Ends a result with these status flags.
    fn end_result(&mut self, kind: ResponseKind, status: u16) -> Option<Transition> {
        self.status = Some(status);
        let has_more = status & status::MORE_RESULTS != 0
            && matches!(kind, ResponseKind::Results | ResponseKind::Execution);
        Some(if has_more { Transition::To(State::NextResult) } else { Transition::End })
    }
}

/// Parses a column count, and whether column definitions follow it.
fn column_count(packet: &Head, capabilities: Capabilities) -> Option<Transition> {
    let mut fields = Fields(packet.bytes());
    let count = fields.integer().filter(|count| (1..=MAX_COLUMNS).contains(count))?;
    let optional =
        capabilities.has_any(Capabilities::OPTIONAL_METADATA | Capabilities::CACHE_METADATA);
    let has_definitions = if optional { fields.u8()? == 1 } else { true };
    Some(Transition::To(if has_definitions {
        State::ColumnDefinitions(count)
    } else {
        after_column_definitions(capabilities)
    }))
}

fn after_column_definitions(capabilities: Capabilities) -> State {
    if capabilities.has(Capabilities::DEPRECATE_EOF) { State::Rows } else { State::ColumnsEof }
}

/// Parses the head of a prepared statement. Definitions of its parameters and of its columns
/// follow, each group with an EOF packet after it.
fn prepared_statement(packet: &Head, capabilities: Capabilities) -> Option<Transition> {
    let mut fields = Fields(packet.bytes().get(5..)?);
    let (columns, parameters) = (u64::from(fields.u16()?), u64::from(fields.u16()?));
    fields.bytes(3)?;
    let has_definitions = !capabilities.has(Capabilities::OPTIONAL_METADATA) || fields.u8()? == 1;
    let eof = u64::from(!capabilities.has(Capabilities::DEPRECATE_EOF));
    let packets = |count: u64| match count {
        0 => 0,
        count if has_definitions => count + eof,
        _ => eof,
    };
    Some(match packets(parameters) + packets(columns) {
        0 => Transition::End,
        count => Transition::To(State::PreparedDefinitions(count)),
    })
}

/// Returns the status flags of an OK packet.
fn ok_status(packet: &Head) -> Option<u16> {
    let mut fields = Fields(packet.bytes().get(1..)?);
    fields.integer()?;
    fields.integer()?;
    fields.u16()
}

/// Returns the status flags of an EOF packet, or of the OK packet that replaces it and is longer.
fn eof_status(packet: &Head, capabilities: Capabilities) -> Option<u16> {
    if capabilities.has(Capabilities::DEPRECATE_EOF) && packet.length >= MIN_OK_LEN {
        ok_status(packet)
    } else {
        old_eof_status(packet)
    }
}

/// Returns the status flags of an EOF packet, which follow the number of warnings.
fn old_eof_status(packet: &Head) -> Option<u16> {
    let mut fields = Fields(packet.bytes().get(1..)?);
    fields.u16()?;
    fields.u16()
}
