//! The symbol as SVG: one path, a rectangle for each run of dark modules in a row.

use std::fmt::Write;

use super::{Background, Colour, Style, Symbol};

pub(super) fn write(symbol: &Symbol, style: &Style, side: u32) -> String {
    let modules = symbol.side() + 2 * style.quiet_zone;
    let mut svg = String::with_capacity(4_096);
    svg.push_str("<svg xmlns=\"http://www.w3.org/2000/svg\" ");
    let _ = write!(svg, "width=\"{side}\" height=\"{side}\" viewBox=\"0 0 {modules} {modules}\" shape-rendering=\"crispEdges\">");
    if let Background::Colour(colour) = style.background {
        let _ = write!(svg, "<path fill=\"{}\" d=\"M0 0h{modules}v{modules}H0z\"/>", hex(colour));
    }
    let _ = write!(svg, "<path fill=\"{}\" d=\"", hex(style.foreground));
    for y in 0..symbol.side() {
        let mut x = 0;
        while x < symbol.side() {
            let run = (x..symbol.side()).take_while(|x| symbol.is_dark(*x, y)).count() as u32;
            if run > 0 {
                let _ = write!(svg, "M{} {}h{run}v1h-{run}z", x + style.quiet_zone, y + style.quiet_zone);
            }
            x += run + 1;
        }
    }
    svg.push_str("\"/></svg>");
    svg
}

fn hex(colour: Colour) -> String {
    format!("#{:02x}{:02x}{:02x}", colour.red, colour.green, colour.blue)
}

#[cfg(test)]
mod tests {
    use super::super::*;

    /// Paints the path of an SVG and compares it with the modules.
    #[test]
    fn the_path_covers_exactly_the_dark_modules() {
        let symbol = symbol_for_text("HTTPS://GO.ACME.IO/ABCDEFGH9", Level::Q).unwrap();
        let style = Style { quiet_zone: 3, background: Background::Transparent, ..Style::default() };
        let svg = symbol.svg(&style).unwrap();
        assert!(svg.contains("fill=\"#000000\"") && !svg.contains("#ffffff"));
        let path = svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
        let side = symbol.side() + 6;
        let mut painted = vec![false; (side * side) as usize];
        for run in path.split('z').filter(|run| !run.is_empty()) {
            let (at, rest) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = at.split_once(' ').unwrap();
            let (x, y): (u32, u32) = (x.parse().unwrap(), y.parse().unwrap());
            let width: u32 = rest.split('v').next().unwrap().parse().unwrap();
            assert_eq!(rest, format!("{width}v1h-{width}"));
            painted[(y * side + x) as usize..(y * side + x + width) as usize].fill(true);
        }
        for y in 0..side {
            for x in 0..side {
                let is_dark = x >= 3 && y >= 3 && symbol.is_dark(x - 3, y - 3);
                assert_eq!(painted[(y * side + x) as usize], is_dark, "{x},{y}");
            }
        }
        assert!(svg.len() < 4_500, "{} bytes", svg.len());
    }
}
