//! Writing answers: tables for people, JSON for scripts.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use clap::ValueEnum;
use serde_json::Value;

use super::error::ClientError;
use super::table::Table;

/// How to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Format {
    /// Aligned tables, for people.
    #[default]
    Text,
    /// JSON with stable keys, for scripts.
    Json,
}

/// Standard output.
#[derive(Debug)]
pub(super) struct Output {
    to: BufWriter<Stdout>,
    format: Format,
    colours: bool,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        let stdout = io::stdout();
        let colours = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self {
            to: BufWriter::new(stdout),
            format,
            colours,
        }
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Writes a table.
    pub(super) fn table(&mut self, table: &Table) -> Result<(), ClientError> {
        self.bytes(table.render(self.colours).as_bytes())
    }

    /// Writes JSON, indented, keys in order.
    pub(super) fn json(&mut self, value: &Value) -> Result<(), ClientError> {
        serde_json::to_writer_pretty(&mut self.to, value)
            .map_err(|error| ClientError::Output(error.into()))?;
        self.bytes(b"\n")
    }

    /// Writes one line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), ClientError> {
        self.bytes(text.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.to.write_all(bytes).map_err(ClientError::Output)
    }

    /// Everything written so far reaches the reader.
    pub(super) fn flush(&mut self) -> Result<(), ClientError> {
        self.to.flush().map_err(ClientError::Output)
    }
}
