//! Regular expressions of strangers: matched as a whole, in linear time, and no larger than the
//! master allows (`--offer_constraints_re2_max_mem`, `--offer_constraints_re2_max_program_size`).

use regex::{Regex, RegexBuilder};
use regex_syntax::ast::{self, Ast, ClassPerl, ClassPerlKind, ClassSetItem};
use regex_syntax::hir::{Class, ClassUnicodeRange, Hir, HirKind};

use crate::base::ByteSize;

/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 4096;
/// How much more memory the same pattern takes here than in RE2, whose bytes the flag counts.
const MEMORY_FACTOR: u64 = 16;
/// Instructions that every program has: the end, and the search for the beginning.
const FRAME: u64 = 4;

/// How large a pattern may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatternLimits {
    /// Memory of the compiled pattern, in bytes as RE2 counts them; a sixteenth of what it may take
    /// here.
    pub memory: ByteSize,
    /// Instructions of the compiled pattern, as RE2 would make them.
    pub program: u32,
}

impl Default for PatternLimits {
    /// Mesos' defaults.
    fn default() -> Self {
        Self {
            memory: ByteSize(4096),
            program: 100,
        }
    }
}

/// A regular expression. Two are equal when they are written equally.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    whole: Regex,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    /// Compiles a pattern, or says in one line why not.
    pub(super) fn compile(text: &str, limits: PatternLimits) -> Result<Self, String> {
        if text.len() > PATTERN_MAX {
            return Err(format!("it is longer than {PATTERN_MAX} bytes"));
        }
        // What is no pattern on its own must not become one inside the group below.
        let tree = ast::parse::Parser::new().parse(text);
        let narrow = with_ascii_classes(text, &tree.map_err(|error| last_line(&error))?);
        let parsed = regex_syntax::parse(&narrow).map_err(|error| last_line(&error))?;
        let size = instructions(&parsed).saturating_add(FRAME);
        if size > u64::from(limits.program) {
            return Err(format!(
                "its program has about {size} instructions, more than the {} of \
                 --offer_constraints_re2_max_program_size",
                limits.program
            ));
        }
        let memory = limits.memory.0.saturating_mul(MEMORY_FACTOR);
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        let whole = RegexBuilder::new(&format!("^(?:{narrow})$"))
            .size_limit(memory)
            .dfa_size_limit(memory)
            .build();
        let whole = whole.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => format!(
                "it takes more memory than the {} of --offer_constraints_re2_max_mem allow",
                limits.memory
            ),
            error => last_line(&error),
        })?;
        let text = text.to_owned();
        Ok(Self { text, whole })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// True when all of a text matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        self.whole.is_match(text)
    }
}

/// The cause at the end of an error that shows the pattern first.
fn last_line(error: &impl ToString) -> String {
    let error = error.to_string();
    let last = error.lines().last().unwrap_or_default();
    last.trim_start_matches("error: ").to_owned()
}

/// Where a pattern has `\d`, `\s`, `\w` and their opposites.
#[derive(Default)]
struct PerlClasses(Vec<ClassPerl>);

impl ast::Visitor for PerlClasses {
    type Output = Vec<ClassPerl>;
    type Err = std::convert::Infallible;

    fn finish(self) -> Result<Self::Output, Self::Err> {
        Ok(self.0)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        if let Ast::ClassPerl(class) = ast {
            self.0.push((**class).clone());
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        if let ClassSetItem::Perl(class) = item {
            self.0.push(class.clone());
        }
        Ok(())
    }
}

/// In RE2 `\d` is `[0-9]` and not what all scripts have for digits, and so on.
fn with_ascii_classes(text: &str, tree: &Ast) -> String {
    let Ok(mut classes) = ast::visit(tree, PerlClasses::default());
    classes.sort_by_key(|class| class.span.start.offset);
    let mut narrow = text.to_owned();
    for class in classes.into_iter().rev() {
        let members = match class.kind {
            ClassPerlKind::Digit => "0-9",
            ClassPerlKind::Space => r"\t\n\f\r ",
            ClassPerlKind::Word => "0-9A-Za-z_",
        };
        let not = if class.negated { "^" } else { "" };
        let span = class.span.start.offset..class.span.end.offset;
        narrow.replace_range(span, &format!("[{not}{members}]"));
    }
    narrow
}

/// About how many instructions RE2 would need. The depth is bounded by the parser.
fn instructions(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => 1,
        HirKind::Literal(literal) => literal.0.len() as u64,
        HirKind::Class(Class::Bytes(class)) => class.ranges().len() as u64,
        HirKind::Class(Class::Unicode(class)) => {
            let bytes = |range: &ClassUnicodeRange| range.end().len_utf8() as u64;
            class.ranges().iter().map(bytes).sum()
        }
        HirKind::Repetition(repetition) => {
            let one = instructions(&repetition.sub);
            let least = one.saturating_mul(u64::from(repetition.min));
            let more = match repetition.max {
                None if repetition.min == 0 => one.saturating_add(1),
                None => 1,
                Some(max) => {
                    let optional = u64::from(max.saturating_sub(repetition.min));
                    optional.saturating_mul(one.saturating_add(1))
                }
            };
            least.saturating_add(more)
        }
        HirKind::Capture(capture) => instructions(&capture.sub).saturating_add(2),
        HirKind::Concat(parts) => parts.iter().map(instructions).fold(0, u64::saturating_add),
        HirKind::Alternation(parts) => parts
            .iter()
            .map(|part| instructions(part).saturating_add(1))
            .fold(0, u64::saturating_add),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::{PATTERN_MAX, Pattern, PatternLimits};
    use crate::base::ByteSize;

    fn refused(text: &str, limits: PatternLimits) -> String {
        Pattern::compile(text, limits).unwrap_err()
    }

    #[test]
    fn what_frameworks_write_is_within_the_default_limits() {
        let limits = PatternLimits::default();
        for (text, yes, no) in [
            (r"host-[0-9]+\.example\.com", "host-17.example.com", "host-"),
            ("(rack|row)-[a-f]{1,3}", "row-abc", "row-abcd"),
            ("r1|r2|r3", "r2", "r22"),
            (".*-gpu", "a-gpu", "a-gpux"),
            (r"\d+", "2026", "year"),
            (r"\w+-\d", "uber-3", "über-3"),
            (r"[\d.]+\D", "10.4x", "10.44"),
            ("", "", "x"),
            ("ä?b", "äb", "ääb"),
        ] {
            let pattern = Pattern::compile(text, limits).unwrap();
            assert!(pattern.matches(yes) && !pattern.matches(no), "{text}");
            assert_eq!(pattern.text(), text);
        }
    }

    #[test]
    fn what_costs_too_much_is_refused_before_it_is_built() {
        let limits = PatternLimits::default();
        assert_eq!(
            refused("[a-z]{100}", limits),
            "its program has about 104 instructions, more than the 100 of \
             --offer_constraints_re2_max_program_size"
        );
        for bomb in ["((a{100}){100}){100}", "(((a?){9}){9}){9}", "(x+x+){60}y"] {
            assert!(refused(bomb, limits).contains("instructions"), "{bomb}");
        }
        let long = "a".repeat(PATTERN_MAX + 1);
        assert_eq!(refused(&long, limits), "it is longer than 4096 bytes");
        let deep = format!("{}{}", "(".repeat(1000), ")".repeat(1000));
        assert!(refused(&deep, limits).contains("nest"));
        let poor = PatternLimits {
            memory: ByteSize(16),
            ..limits
        };
        assert_eq!(
            refused("host-[0-9]+", poor),
            "it takes more memory than the 16B of --offer_constraints_re2_max_mem allow"
        );
        let rich = PatternLimits {
            memory: ByteSize(1 << 20),
            program: 10_000,
        };
        assert!(Pattern::compile("[a-z]{100}", rich).is_ok());
    }
}
