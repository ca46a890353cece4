//! What a leaf is for.

use std::fmt;

/// The role of a leaf inside its form; selectors name it as `#role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The values of a dense matrix or vector.
    Value,
    /// The central core of an MPO: core n/2 + 1 of n.
    Central,
    /// Any other core of an MPO.
    Auxiliary,
    /// The factor of a low-rank product that is applied first, r x I.
    Down,
    /// The factor of a low-rank product that is applied last, O x r.
    Up,
    /// The factors of a scaled form, one number per column or row, and those of a grouped form, one per row and group.
    Scale,
    /// The summands of a grouped form, one number per row and group: zero points that are no whole numbers.
    Shift,
    /// The norms that a form gives its rows, O numbers.
    Magnitude,
    /// What a router chooses experts by.
    Router,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 9] = [
        Self::Value,
        Self::Central,
        Self::Auxiliary,
        Self::Down,
        Self::Up,
        Self::Scale,
        Self::Shift,
        Self::Magnitude,
        Self::Router,
    ];

    /// The word used in selectors, recipes and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Central => "central",
            Self::Auxiliary => "auxiliary",
            Self::Down => "down",
            Self::Up => "up",
            Self::Scale => "scale",
            Self::Shift => "shift",
            Self::Magnitude => "magnitude",
            Self::Router => "router",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
