//! A text screen of 60 by 25 letters, as 720 by 400 dots. It notes which lines have changed.

use super::font::{DOTS, ROWS, letter};
use super::tty::CLEAR;

/// Letters in a line.
pub(super) const COLUMNS: usize = 60;
/// Lines.
pub(super) const LINES: usize = 25;
/// Dots of a letter's cell, across and down. Each dot of the font is two by two.
const CELL: (usize, usize) = (12, 16);
/// Dots across.
pub(super) const WIDTH: u16 = 720;
/// Dots down.
pub(super) const HEIGHT: u16 = 400;
/// Dots a line is high.
pub(super) const LINE_HEIGHT: u16 = 16;

/// Red, green, blue.
pub(super) type Colour = [u8; 3];
const GREY: Colour = [0xaa, 0xaa, 0xaa];
const GREEN: Colour = [0x55, 0xff, 0x55];
const BLACK: Colour = [0, 0, 0];

/// The letters and where the next one goes.
#[derive(Debug)]
pub(super) struct Screen {
    lines: Vec<[char; COLUMNS]>,
    changed: [bool; LINES],
    column: usize,
    line: usize,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { lines: vec![[' '; COLUMNS]; LINES], changed: [true; LINES], column: 0, line: 0 }
    }

    /// Writes text with the few controls that [`super::tty`] uses.
    pub(super) fn write(&mut self, text: &str) {
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix(CLEAR) {
                *self = Self::new();
                rest = after;
                continue;
            }
            self.put(next);
            rest = &rest[next.len_utf8()..];
        }
    }

    fn put(&mut self, next: char) {
        self.changed[self.line] = true;
        match next {
            '\r' => self.column = 0,
            '\n' => self.feed(),
            '\u{8}' => self.column = self.column.saturating_sub(1),
            shown => {
                if self.column == COLUMNS {
                    self.column = 0;
                    self.feed();
                }
                self.lines[self.line][self.column] = shown;
                self.column += 1;
            }
        }
        self.changed[self.line] = true;
    }

    fn feed(&mut self) {
        if self.line + 1 < LINES {
            self.line += 1;
            return;
        }
        self.lines.remove(0);
        self.lines.push([' '; COLUMNS]);
        self.changed = [true; LINES];
    }

    /// Has anything changed since [`Self::take_changed`]?
    pub(super) fn has_changed(&self) -> bool {
        self.changed.contains(&true)
    }

    /// The lines that have changed, or all, which are then no longer changed.
    pub(super) fn take_changed(&mut self, all: bool) -> Vec<usize> {
        let changed = std::mem::replace(&mut self.changed, [false; LINES]);
        (0..LINES).filter(|line| all || changed[*line]).collect()
    }

    /// The dots of one line, row by row, from the left.
    pub(super) fn dots(&self, line: usize) -> impl Iterator<Item = Colour> + '_ {
        let (across, down) = CELL;
        let is_good = self.lines[line].starts_with(&['[', ' ', ' ', 'O', 'K', ' ', ' ', ']']);
        (0..down).flat_map(move |y| {
            (0..COLUMNS).flat_map(move |column| {
                let ink = if is_good && (3..5).contains(&column) { GREEN } else { GREY };
                let is_cursor = line == self.line && column == self.column && y + 3 >= down;
                let row = y.checked_sub(1).map_or(0, |y| letter_row(self.lines[line][column], y / 2));
                (0..across).map(move |x| {
                    let dot = x.checked_sub(1).map(|x| x / 2).filter(|dot| *dot < DOTS);
                    let is_ink = dot.is_some_and(|dot| row >> (DOTS - 1 - dot) & 1 == 1);
                    if is_ink || is_cursor { ink } else { BLACK }
                })
            })
        })
    }
}

fn letter_row(shown: char, row: usize) -> u8 {
    if row < ROWS { letter(shown)[row] } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_as_many_dots_as_the_screen_is_wide() {
        let mut screen = Screen::new();
        screen.write("A");
        let dots: Vec<Colour> = screen.dots(0).collect();
        assert_eq!(dots.len(), usize::from(WIDTH) * usize::from(LINE_HEIGHT));
        assert_eq!(usize::from(HEIGHT), LINES * usize::from(LINE_HEIGHT));
        assert!(dots.contains(&GREY) && dots.contains(&BLACK));
    }

    #[test]
    fn only_what_changed_is_drawn_again_and_the_last_line_scrolls() {
        let mut screen = Screen::new();
        assert_eq!(screen.take_changed(false).len(), LINES);
        screen.write("x");
        assert_eq!(screen.take_changed(false), [0]);
        screen.write(&"\r\n".repeat(LINES));
        screen.write("end");
        assert_eq!(screen.take_changed(false).len(), LINES);
        assert!(screen.lines[LINES - 1].starts_with(&['e', 'n', 'd']));
        assert!(screen.lines[0].iter().all(|shown| *shown == ' '));
    }
}
