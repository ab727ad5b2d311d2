//! Tables from files, whatever they are written in: the first bytes tell.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::table::{MAGIC, MOST_VALUES};
use crate::{Error, Table, TableReader};

/// The media type of a table's own bytes.
pub const MEDIA_TYPE: &str = "application/vnd.backlot.signals";

/// What a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Text.
    Csv,
    /// Apache Parquet.
    Parquet,
    /// [`Table::to_bytes`].
    Own,
}

impl Form {
    /// What bytes are written in, by how they begin.
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(MAGIC) {
            Self::Own
        } else if bytes.starts_with(backlot_signals_parquet::MAGIC) {
            Self::Parquet
        } else {
            Self::Csv
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Own => MEDIA_TYPE,
        }
    }
}

/// What a file is written in.
///
/// # Errors
/// [`Error::File`].
pub fn form(path: &Path) -> Result<Form, Error> {
    let mut begin = Vec::with_capacity(MAGIC.len());
    let file = File::open(path).map_err(unreadable(path))?;
    file.take(MAGIC.len() as u64).read_to_end(&mut begin).map_err(unreadable(path))?;
    Ok(Form::of(&begin))
}

/// Reads a file.
///
/// # Errors
/// [`Error::File`], and as [`table_from`].
pub fn table(path: &Path) -> Result<Table, Error> {
    table_from(std::fs::read(path).map_err(unreadable(path))?)
}

/// Reads the bytes of a file.
///
/// # Errors
/// [`Error::Csv`], [`Error::Table`], [`Error::Parquet`].
pub fn table_from(bytes: Vec<u8>) -> Result<Table, Error> {
    match Form::of(&bytes) {
        Form::Own => {
            let mut reader = TableReader::open(std::io::Cursor::new(bytes))?;
            let signals = reader.signals(0..reader.header().names.len())?;
            Ok(Table { header: reader.header().clone(), signals })
        }
        Form::Parquet => {
            let read = backlot_signals_parquet::read(bytes, MOST_VALUES)?;
            let mut table = Table::from_columns(&read.times, read.names, read.signals)?;
            table.header.notes.splice(0..0, read.notes);
            Ok(table)
        }
        Form::Csv => {
            let text = String::from_utf8(bytes).map_err(|error| {
                let at = error.utf8_error().valid_up_to();
                Error::Table(format!(
                    "is no text from byte {at} on, and no Parquet; give CSV in UTF-8 or Parquet"
                ))
            })?;
            Table::from_csv(&text)
        }
    }
}

pub(crate) fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    |error| Error::File { action: "read", path: path.to_owned(), reason: error.to_string() }
}
