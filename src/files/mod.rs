//! Shell: files that readers may see: a folder that is theirs (a sandbox, a log folder) and a path in
//! it that cannot lead out of it, whatever links a task has made.

mod download;
mod error;
mod follow;
mod list;
mod open;
mod read;

pub use download::{Download, download};
pub use error::FilesError;
pub use follow::{CHUNK_MAX, Chunk, follow};
pub use list::{ENTRIES_MAX, list};
pub use read::{READ_MAX, Slice, read};
