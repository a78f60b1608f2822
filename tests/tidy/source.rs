//! Rust files as the rules see them: comments and texts blanked, tests told from code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
#[derive(Debug)]
pub(crate) struct Source {
    /// Below the repository's root, with slashes.
    pub(crate) path: String,
    /// As it is on disk.
    pub(crate) text: String,
    /// The same lines, comments and the insides of texts replaced by blanks.
    pub(crate) code: String,
    /// The code without its test modules.
    pub(crate) product: String,
}

/// What a file may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pure.
    Core,
    /// Owns the world.
    Shell,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            product: without_tests(&code),
            code,
        }
    }

    /// True for files that hold nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        let path = self.path.as_str();
        let folder = path.starts_with("tests/") || path.contains("/tests/");
        folder || path.ends_with("/tests.rs") || path.ends_with("/laws.rs")
    }

    /// The kind that the file's first line declares.
    pub(crate) fn declared(&self) -> Option<Kind> {
        match self.text.strip_prefix("//! ")? {
            doc if doc.starts_with("Core:") => Some(Kind::Core),
            doc if doc.starts_with("Shell:") => Some(Kind::Shell),
            _ => None,
        }
    }

    /// The module below `src/`, as path segments: `["master", "driver"]`.
    pub(crate) fn module(&self) -> Option<Vec<&str>> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let mut segments: Vec<&str> = path.split('/').collect();
        if matches!(segments.last(), Some(&"mod" | &"lib" | &"main")) {
            segments.pop();
        }
        Some(segments)
    }
}

/// All Rust files below the given folders of the repository.
pub(crate) fn read_all(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    let source = |path: &PathBuf| {
        let name = path.strip_prefix(root).unwrap().to_str().unwrap();
        Source::new(name, &fs::read_to_string(path).unwrap())
    };
    paths.iter().map(source).collect()
}

/// The kind of every file below `src/`: its own first line, else that of the nearest `mod.rs` above.
pub(crate) fn kinds(sources: &[Source]) -> BTreeMap<String, Kind> {
    let declared: BTreeMap<&str, Kind> = sources
        .iter()
        .filter_map(|source| Some((source.path.as_str(), source.declared()?)))
        .collect();
    let mut kinds = BTreeMap::new();
    for source in sources {
        let above = Path::new(&source.path).ancestors().skip(1);
        let roots = above.map(|folder| folder.join("mod.rs"));
        let kind = declared.get(source.path.as_str()).copied().or_else(|| {
            roots
                .filter_map(|root| declared.get(root.to_str()?).copied())
                .next()
        });
        if let Some(kind) = kind {
            kinds.insert(source.path.clone(), kind);
        }
    }
    kinds
}

/// Replaces comments and the insides of texts and characters by blanks; lines stay where they are.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = at
            + if rest.starts_with(b"//") {
                rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
            } else if rest.starts_with(b"/*") {
                find(rest, b"*/").map_or(rest.len(), |end| end + 2)
            } else if let Some(length) = raw_text(rest, at.checked_sub(1).map(|at| bytes[at])) {
                length
            } else if rest[0] == b'"' {
                quoted(rest, b'"')
            } else if rest[0] == b'\'' {
                character(rest)
            } else {
                at += 1;
                continue;
            };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

/// The length of a text in quotes that starts here.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a raw text (`r"..."`, `br#"..."#`) that starts here.
fn raw_text(rest: &[u8], before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let prefix = usize::from(rest[0] == b'b');
    if rest.get(prefix) != Some(&b'r') {
        return None;
    }
    let hashes = rest[prefix + 1..]
        .iter()
        .take_while(|b| **b == b'#')
        .count();
    let open = prefix + 1 + hashes;
    if rest.get(open) != Some(&b'"') {
        return None;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    let length = find(&rest[open + 1..], close.as_bytes())?;
    Some(open + 1 + length + close.len())
}

/// The length of a character that starts here; one for a lifetime's quote.
fn character(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => quoted(rest, b'\''),
        Some(_) => {
            let text = std::str::from_utf8(&rest[1..rest.len().min(6)]);
            let valid = text.map_or_else(|error| error.valid_up_to(), str::len);
            let text = std::str::from_utf8(&rest[1..=valid]).unwrap();
            let length = text.chars().next().map_or(0, char::len_utf8);
            if rest.get(1 + length) == Some(&b'\'') {
                length + 2
            } else {
                1
            }
        }
        None => 1,
    }
}

/// Blanks what `#[cfg(test)]` stands before: up to the end of its braces, or its semicolon.
fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find("#[cfg(test)]") {
        let mut depth = 0_usize;
        let mut end = out.len();
        for (at, byte) in out.bytes().enumerate().skip(start) {
            match byte {
                b'{' => depth += 1,
                b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 && matches!(byte, b'}' | b';') {
                end = at + 1;
                break;
            }
        }
        let blanked: String = out[start..end]
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        out.replace_range(start..end, &blanked);
    }
    out
}

#[test]
fn comments_texts_and_characters_are_blanked() {
    let cases = [
        ("a // b.unwrap()\nc", "a              \nc"),
        ("a /* b */ c", "a         c"),
        (r#"f("x\"y", z)"#, "f(      , z)"),
        (r##"f(r#"x"y"#, z)"##, "f(        , z)"),
        ("f('\"', '\\'', 'é')", "f(   ,     ,     )"),
        ("fn f<'a>(x: &'a str)", "fn f< a>(x: & a str)"),
        ("var\"x\"", "var   "),
    ];
    for (text, expected) in cases {
        assert_eq!(blank(text), expected, "{text}");
    }
}

#[test]
fn test_modules_are_no_product() {
    let source = Source::new(
        "src/x.rs",
        "fn a() {}\n#[cfg(test)]\n#[expect(x)]\nmod tests { fn b() { c } }\nfn d() {}\n\
         #[cfg(test)]\nmod laws;\nfn e() {}",
    );
    let left: Vec<&str> = source.product.split_whitespace().collect();
    assert_eq!(left.join(" "), "fn a() {} fn d() {} fn e() {}");
}
