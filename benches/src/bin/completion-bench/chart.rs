//! The picture: bars, as SVG.

use std::fmt::Write as _;

use crate::contestant::Payload;
use crate::figures::{Cell, Figures, of};
use crate::report::distinct;
use crate::rounds::Round;

const NAMES: f64 = 190.0;
const PANEL: f64 = 330.0;
const BAR: f64 = 9.0;
const TOP: f64 = 58.0;
const COLOURS: [&str; 3] = ["#4269d0", "#efb118", "#ff725c"];

/// One column of bars.
struct Panel<'a> {
    title: &'a str,
    rounds: &'a [Round],
    figure: &'a dyn Fn(Cell) -> Option<f64>,
    digits: usize,
    /// Where longer bars are cut, so that one contestant does not make dwarfs of the others.
    most: f64,
}

/// Instructions and times of all contestants, with `u64`.
pub(crate) fn svg(figures: &Figures) -> String {
    let panels = [
        Panel {
            title: "instructions per round",
            rounds: &[Round::Ready, Round::Pending],
            figure: &|cell| of(&figures.instructions, cell),
            digits: 0,
            most: f64::INFINITY,
        },
        Panel {
            title: "time of a round, tokio = 1",
            rounds: &[Round::Ready, Round::Pending, Round::TwoThreads],
            figure: &|cell| of(&figures.times, cell).map(|time| time.ratio),
            digits: 2,
            most: 1.5,
        },
    ];
    let contestants = distinct(figures.instructions.iter().map(|(cell, _)| cell.contestant));
    let row = BAR * 3.0 + 8.0;
    let height = TOP + row * contestants.len() as f64;
    let width = NAMES + PANEL * panels.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"white\"/>\n"
    );
    let mut legend = NAMES;
    for (round, colour) in panels[1].rounds.iter().zip(COLOURS) {
        // Writing to a String does not fail.
        let _ok = write!(
            svg,
            "<rect x=\"{legend}\" y=\"8\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"17\">{}</text>\n",
            legend + 14.0,
            round.name()
        );
        legend += 110.0;
    }
    for (n, contestant) in contestants.iter().enumerate() {
        let y = TOP + row * n as f64 + row / 2.0;
        let _ok = writeln!(
            svg,
            "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{contestant}</text>",
            NAMES - 8.0
        );
    }
    for (n, panel) in panels.iter().enumerate() {
        panel.draw(&mut svg, NAMES + PANEL * n as f64, row, &contestants);
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, x: f64, row: f64, contestants: &[&'static str]) {
        let _ok = writeln!(
            svg,
            "<text x=\"{x}\" y=\"42\" font-weight=\"bold\">{}</text>",
            self.title
        );
        let figure = |contestant, round| {
            (self.figure)(Cell {
                payload: u64::NAME,
                contestant,
                round,
            })
        };
        let all = contestants
            .iter()
            .flat_map(|name| self.rounds.iter().filter_map(|&round| figure(*name, round)));
        let longest = all.fold(f64::MIN_POSITIVE, f64::max).min(self.most);
        for (n, contestant) in contestants.iter().enumerate() {
            for ((m, &round), colour) in self.rounds.iter().enumerate().zip(COLOURS) {
                let Some(value) = figure(*contestant, round) else {
                    continue;
                };
                let y = TOP + row * n as f64 + BAR * m as f64;
                let length = (PANEL - 60.0) * value.min(longest) / longest;
                let cut = if value > longest { " (cut)" } else { "" };
                let _ok = write!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>\n\
                     <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"9\">{value:.*}{cut}</text>\n",
                    BAR - 1.0,
                    x + length + 3.0,
                    y + BAR - 1.0,
                    self.digits
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Time;

    #[test]
    fn bars_keep_proportion_until_they_are_cut() {
        let cell = |contestant, round| Cell {
            payload: u64::NAME,
            contestant,
            round,
        };
        let time = |ratio| Time {
            nanoseconds: 3.0,
            ratio,
        };
        let figures = Figures {
            instructions: vec![
                (cell("a", Round::Ready), 200.0),
                (cell("b", Round::Ready), 50.0),
            ],
            times: vec![
                (cell("a", Round::Ready), time(9.0)),
                (cell("b", Round::Ready), time(0.75)),
            ],
            ..Figures::default()
        };
        let svg = svg(&figures);
        assert!(
            svg.starts_with("<svg ") && svg.ends_with("</svg>\n"),
            "{svg}"
        );
        assert_eq!(svg.matches("width=\"270.0\"").count(), 2, "{svg}");
        assert_eq!(svg.matches("9.00 (cut)").count(), 1, "{svg}");
        assert_eq!(svg.matches("width=\"135.0\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("width=\"67.5\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
