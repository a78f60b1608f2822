//! Archives in memory, hostile ones included: names are written into the headers unchecked.

use std::io::Write as _;

/// One entry of a tar archive.
#[derive(Debug)]
pub(crate) enum Entry<'a> {
    File(&'a str, &'a [u8], u32),
    Directory(&'a str),
    Symlink(&'a str, &'a str),
    HardLink(&'a str, &'a str),
    Device(&'a str),
}

pub(crate) fn tar(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for entry in entries {
        let (name, kind, target, content, mode) = match *entry {
            Entry::File(name, content, mode) => (name, tar::EntryType::Regular, "", content, mode),
            Entry::Directory(name) => (name, tar::EntryType::Directory, "", [].as_slice(), 0o755),
            Entry::Symlink(name, to) => (name, tar::EntryType::Symlink, to, [].as_slice(), 0o777),
            Entry::HardLink(name, to) => (name, tar::EntryType::Link, to, [].as_slice(), 0o644),
            Entry::Device(name) => (name, tar::EntryType::Char, "", [].as_slice(), 0o666),
        };
        let mut header = tar::Header::new_old();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

pub(crate) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut to = liblzma::write::XzEncoder::new(Vec::new(), 6);
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

/// Name, content and mode with the file type; a link's content is its target.
pub(crate) fn zip(entries: &[(&str, &[u8], u32)]) -> Vec<u8> {
    let mut to = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content, mode) in entries {
        let options = zip::write::SimpleFileOptions::default().unix_permissions(*mode);
        if mode & 0o170_000 == 0o120_000 {
            let target = std::str::from_utf8(content).unwrap();
            to.add_symlink(*name, target, options).unwrap();
        } else {
            to.start_file(*name, options).unwrap();
            to.write_all(content).unwrap();
        }
    }
    to.finish().unwrap().into_inner()
}
