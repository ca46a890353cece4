//! Sums of two numbers of two digits, worked out digit by digit.

use super::mark;
use crate::prompt::{Judge, Question};
use tenfold_tensor::random::Random;

/// One pair in this many is held out.
const HELD: u64 = 5;

pub(super) struct Sum {
    first: usize,
    second: usize,
}

/// What goes wrong in a working.
#[derive(Clone, Copy, PartialEq)]
enum Slip {
    None,
    /// The ones are off by one.
    Ones,
    /// A carry is lost, or one is made up.
    Carry,
    /// The tens are off by one.
    Tens,
}

impl Sum {
    pub(super) fn draw(random: &mut Random, held_out: bool) -> Self {
        loop {
            let (first, second) = (random.between(10, 99), random.between(10, 99));
            // In either order it is the same sum.
            let pair = format!("{}+{}", first.min(second), first.max(second));
            if mark(&pair).is_multiple_of(HELD) == held_out {
                return Self { first, second };
            }
        }
    }

    fn prompt(&self) -> String {
        format!("sum {}+{}:", self.first, self.second)
    }

    fn working(&self, slip: Slip) -> String {
        let (a, b) = (self.first % 10, self.second % 10);
        // Off towards the side that leaves the carry as it is.
        let ones = match a + b {
            sum if slip != Slip::Ones => sum,
            sum if sum == 9 || sum == 18 => sum - 1,
            sum => sum + 1,
        };
        let carry = usize::from((ones >= 10) != (slip == Slip::Carry));
        let tens = self.first / 10 + self.second / 10 + carry + usize::from(slip == Slip::Tens);
        let carried = if carry > 0 { "+1" } else { "" };
        let total = 10 * tens + ones % 10;
        format!(" {a}+{b}={ones} {}+{}{carried}={tens} ={total}.", self.first / 10, self.second / 10)
    }

    pub(super) fn line(&self) -> String {
        self.prompt() + &self.working(Slip::None)
    }

    pub(super) fn question(&self) -> Question {
        let right = (mark(&self.prompt()) % 4) as usize;
        let mut slips = [Slip::Ones, Slip::Carry, Slip::Tens, Slip::None];
        slips.swap(right, 3);
        Question {
            prompt: self.prompt(),
            options: slips.map(|slip| self.working(slip)).into(),
            right,
            judge: Judge::Number((self.first + self.second) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workings_carry() {
        let line = |first, second| Sum { first, second }.line();
        assert_eq!(line(47, 85), "sum 47+85: 7+5=12 4+8+1=13 =132.");
        assert_eq!(line(12, 34), "sum 12+34: 2+4=6 1+3=4 =46.");
        assert_eq!(line(90, 10), "sum 90+10: 0+0=0 9+1=10 =100.");
        let slip = |slip| Sum { first: 47, second: 85 }.working(slip);
        assert_eq!(slip(Slip::Ones), " 7+5=13 4+8+1=13 =133.");
        assert_eq!(slip(Slip::Carry), " 7+5=12 4+8=12 =122.");
        assert_eq!(slip(Slip::Tens), " 7+5=12 4+8+1=14 =142.");
    }
}
