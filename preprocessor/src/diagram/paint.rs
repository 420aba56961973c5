//! Light and dark in one drawing: every colour of our own theme is a variable with two values.
//!
//! merman draws with the light colours of `PALETTE`; what it derives from them is mirrored in lightness for the dark side. mdBook sets
//! `color-scheme` per theme, and `light-dark()` follows it; alone, a drawing follows the reader's system. Colours that an author gave to a
//! node stay as they are.

use std::fmt::Write as _;

/// The page itself, as merman is told it. On a page it is mdBook's own background.
const CANVAS: &str = "#fefefe";

/// Light and dark, by role.
const PALETTE: &[(&str, &str)] = &[
    (CANVAS, "#15181d"),
    (TEXT, "#dfe5ec"),
    (LINE, "#9aa7b5"),
    (NODE, "#1f2c42"),
    (NODE_BORDER, "#7f9fd0"),
    (CLUSTER, "#1b2027"),
    (CLUSTER_BORDER, "#4a5461"),
    (NOTE, "#3a3423"),
    (NOTE_BORDER, "#a68d45"),
    (ACTIVE, "#34486b"),
    (DONE, "#2b313a"),
    (CRITICAL_BORDER, "#ff8f8a"),
];

const TEXT: &str = "#1f2328";
const LINE: &str = "#57616c";
const NODE: &str = "#edf2fb";
const NODE_BORDER: &str = "#4f72ad";
const CLUSTER: &str = "#f5f6f8";
const CLUSTER_BORDER: &str = "#b9c1cb";
const NOTE: &str = "#fff6d5";
const NOTE_BORDER: &str = "#b58f1d";
const ACTIVE: &str = "#c9d8f3";
const DONE: &str = "#e3e6ea";
const CRITICAL_BORDER: &str = "#c1121f";

/// Mermaid's variables of its theme `base`, each with the light colour of its role.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    ("background", CANVAS),
    ("edgeLabelBackground", CANVAS),
    ("textColor", TEXT),
    ("titleColor", TEXT),
    ("lineColor", LINE),
    ("arrowheadColor", LINE),
    ("defaultLinkColor", LINE),
    ("mainBkg", NODE),
    ("nodeBorder", NODE_BORDER),
    ("nodeTextColor", TEXT),
    ("primaryColor", NODE),
    ("primaryTextColor", TEXT),
    ("primaryBorderColor", NODE_BORDER),
    ("secondaryColor", CLUSTER),
    ("secondaryTextColor", TEXT),
    ("secondaryBorderColor", CLUSTER_BORDER),
    ("tertiaryColor", CLUSTER),
    ("tertiaryTextColor", TEXT),
    ("tertiaryBorderColor", CLUSTER_BORDER),
    ("clusterBkg", CLUSTER),
    ("clusterBorder", CLUSTER_BORDER),
    ("noteBkgColor", NOTE),
    ("noteTextColor", TEXT),
    ("noteBorderColor", NOTE_BORDER),
    ("actorBkg", NODE),
    ("actorBorder", NODE_BORDER),
    ("actorTextColor", TEXT),
    ("actorLineColor", LINE),
    ("signalColor", LINE),
    ("signalTextColor", TEXT),
    ("labelBoxBkgColor", CLUSTER),
    ("labelBoxBorderColor", CLUSTER_BORDER),
    ("labelTextColor", TEXT),
    ("loopTextColor", TEXT),
    ("activationBkgColor", ACTIVE),
    ("activationBorderColor", NODE_BORDER),
    ("sequenceNumberColor", CANVAS),
    ("transitionColor", LINE),
    ("transitionLabelColor", TEXT),
    ("stateLabelColor", TEXT),
    ("stateBkg", NODE),
    ("labelBackgroundColor", CANVAS),
    ("compositeBackground", CLUSTER),
    ("altBackground", CLUSTER),
    ("compositeTitleBackground", CLUSTER),
    ("compositeBorder", CLUSTER_BORDER),
    ("specialStateColor", LINE),
    ("innerEndBackground", LINE),
    ("classText", TEXT),
    ("attributeBackgroundColorOdd", CANVAS),
    ("attributeBackgroundColorEven", CLUSTER),
    ("rowOdd", CANVAS),
    ("rowEven", CLUSTER),
    ("sectionBkgColor", CLUSTER),
    ("sectionBkgColor2", CLUSTER),
    ("altSectionBkgColor", CANVAS),
    ("excludeBkgColor", DONE),
    ("taskBkgColor", NODE),
    ("taskBorderColor", NODE_BORDER),
    ("taskTextColor", TEXT),
    ("taskTextLightColor", TEXT),
    ("taskTextDarkColor", TEXT),
    ("taskTextOutsideColor", TEXT),
    ("taskTextClickableColor", TEXT),
    ("activeTaskBkgColor", ACTIVE),
    ("activeTaskBorderColor", NODE_BORDER),
    ("doneTaskBkgColor", DONE),
    ("doneTaskBorderColor", LINE),
    ("critBkgColor", NODE),
    ("critBorderColor", CRITICAL_BORDER),
    ("gridColor", CLUSTER_BORDER),
    ("todayLineColor", CRITICAL_BORDER),
    ("vertLineColor", LINE),
];

/// Whose colour is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Of the theme: what is not in the palette has been derived from it.
    Theme,
    /// Perhaps the author's: only what is in the palette is ours.
    Author,
}

/// The variables of one drawing.
#[derive(Debug, Default)]
pub(super) struct Paint {
    /// Light, dark; the number of the variable is the place.
    pairs: Vec<(String, String)>,
}

impl Paint {
    /// A value of a rule or an attribute, its colours replaced by variables.
    pub(super) fn value(&mut self, value: &str, owner: Owner) -> String {
        let mut out = String::with_capacity(value.len() + 8);
        let mut rest = value;
        while let Some(start) = rest.find(|c: char| c == '#' || c.is_ascii_alphabetic()) {
            let (before, from) = rest.split_at(start);
            out.push_str(before);
            let length = token(from);
            let (token, after) = from.split_at(length);
            // `url(#id)` is no colour; a word inside of another word neither.
            match rgb(token).filter(|_| !before.ends_with(['(', '-', '_', '.'])) {
                Some(colour) => self.colour(&mut out, token, colour, owner),
                None => out.push_str(token),
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn colour(&mut self, out: &mut String, token: &str, colour: Rgba, owner: Owner) {
        let light = colour.hex();
        let dark = match PALETTE.iter().find(|(known, _)| *known == light) {
            Some((_, dark)) => (*dark).to_owned(),
            None if owner == Owner::Author => {
                out.push_str(token);
                return;
            }
            None => colour.mirrored().hex(),
        };
        out.push_str(&self.pair(&light, &dark));
    }

    /// The variable of a light colour and its dark side.
    pub(super) fn pair(&mut self, light: &str, dark: &str) -> String {
        let known = self
            .pairs
            .iter()
            .position(|(known, other)| known == light && other == dark);
        let at = known.unwrap_or_else(|| {
            self.pairs.push((light.to_owned(), dark.to_owned()));
            self.pairs.len() - 1
        });
        format!("var(--d{at})")
    }

    /// The variable of the page's own colour.
    pub(super) fn canvas(&mut self) -> String {
        self.value(CANVAS, Owner::Theme)
    }

    /// The rules that give the variables their values.
    pub(super) fn rules(&self, id: &str) -> String {
        if self.pairs.is_empty() {
            return String::new();
        }
        let mut plain = format!("#{id}{{");
        let mut both = plain.clone();
        for (at, (light, dark)) in self.pairs.iter().enumerate() {
            if light == CANVAS {
                let _ = write!(plain, "--d{at}:var(--bg,#fff);");
                let _ = write!(both, "--d{at}:var(--bg,light-dark(#fff,{dark}));");
            } else {
                let _ = write!(plain, "--d{at}:{light};");
                let _ = write!(both, "--d{at}:light-dark({light},{dark});");
            }
        }
        // Where `light-dark` is unknown, the light side; on paper too.
        format!(
            "{plain}}}@supports(color:light-dark(#000,#fff)){{{both}}}}}@media print{{#{id}{{color-scheme:light}}}}"
        )
    }
}

/// How long the token at the start is: a word, a hash colour, or a colour function with its arguments.
fn token(text: &str) -> usize {
    let word = text
        .char_indices()
        .skip(1)
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        .map_or(text.len(), |(at, _)| at);
    let function = matches!(
        text[..word].to_ascii_lowercase().as_str(),
        "rgb" | "rgba" | "hsl" | "hsla"
    );
    match text[word..].find(')') {
        Some(end) if function && text[word..].starts_with('(') => word + end + 1,
        _ => word,
    }
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rgba {
    r: f64,
    g: f64,
    b: f64,
    a: f64,
}

impl Rgba {
    fn hex(self) -> String {
        let byte = |part: f64| (part * 255.0).round().clamp(0.0, 255.0) as u8;
        let mut out = format!(
            "#{:02x}{:02x}{:02x}",
            byte(self.r),
            byte(self.g),
            byte(self.b)
        );
        if self.a < 1.0 {
            let _ = write!(out, "{:02x}", byte(self.a));
        }
        out
    }

    /// The same hue with its lightness mirrored, short of pure black and white.
    fn mirrored(self) -> Self {
        let (h, s, l) = self.hsl();
        let mirrored = 0.88 - 0.76 * l;
        // Cyan and yellow are light to the eye, whatever their half lightness says.
        let most = if self.luminance() > 0.4 { 0.26 } else { 1.0 };
        Self {
            a: self.a,
            ..from_hsl(h, s * 0.85, mirrored.min(most))
        }
    }

    fn hsl(self) -> (f64, f64, f64) {
        let max = self.r.max(self.g).max(self.b);
        let min = self.r.min(self.g).min(self.b);
        let l = f64::midpoint(max, min);
        let delta = max - min;
        if delta == 0.0 {
            return (0.0, 0.0, l);
        }
        let s = delta / (1.0 - (2.0 * l - 1.0).abs());
        let h = if max == self.r {
            ((self.g - self.b) / delta).rem_euclid(6.0)
        } else if max == self.g {
            (self.b - self.r) / delta + 2.0
        } else {
            (self.r - self.g) / delta + 4.0
        };
        (h * 60.0, s, l)
    }

    /// Relative luminance, WCAG 2.2.
    fn luminance(self) -> f64 {
        let linear = |part: f64| {
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.r) + 0.7152 * linear(self.g) + 0.0722 * linear(self.b)
    }

    /// Whether this is a colour of the palette.
    pub(super) fn is_ours(self) -> bool {
        let hex = self.hex();
        PALETTE.iter().any(|(light, _)| *light == hex)
    }

    /// Black or white, whichever is easier to read on this.
    pub(super) fn ink(self) -> &'static str {
        // Where both have the same contrast.
        if self.luminance() > 0.179 {
            "#111"
        } else {
            "#fff"
        }
    }
}

fn from_hsl(h: f64, s: f64, l: f64) -> Rgba {
    let c = (1.0 - (2.0 * l - 1.0).abs()) * s;
    let x = c * (1.0 - ((h / 60.0).rem_euclid(2.0) - 1.0).abs());
    let (r, g, b) = match h.rem_euclid(360.0) {
        h if h < 60.0 => (c, x, 0.0),
        h if h < 120.0 => (x, c, 0.0),
        h if h < 180.0 => (0.0, c, x),
        h if h < 240.0 => (0.0, x, c),
        h if h < 300.0 => (x, 0.0, c),
        _ => (c, 0.0, x),
    };
    let m = l - c / 2.0;
    Rgba {
        r: r + m,
        g: g + m,
        b: b + m,
        a: 1.0,
    }
}

/// The names that diagrams use; another name is left as it is.
const NAMES: &[(&str, &str)] = &[
    ("black", "000000"),
    ("white", "ffffff"),
    ("red", "ff0000"),
    ("green", "008000"),
    ("lime", "00ff00"),
    ("blue", "0000ff"),
    ("navy", "000080"),
    ("yellow", "ffff00"),
    ("orange", "ffa500"),
    ("pink", "ffc0cb"),
    ("purple", "800080"),
    ("aqua", "00ffff"),
    ("cyan", "00ffff"),
    ("teal", "008080"),
    ("maroon", "800000"),
    ("olive", "808000"),
    ("silver", "c0c0c0"),
    ("grey", "808080"),
    ("gray", "808080"),
    ("fuchsia", "ff00ff"),
    ("magenta", "ff00ff"),
    ("gold", "ffd700"),
    ("brown", "a52a2a"),
    ("beige", "f5f5dc"),
    ("coral", "ff7f50"),
    ("crimson", "dc143c"),
    ("indigo", "4b0082"),
    ("ivory", "fffff0"),
    ("khaki", "f0e68c"),
    ("lavender", "e6e6fa"),
    ("salmon", "fa8072"),
    ("tomato", "ff6347"),
    ("violet", "ee82ee"),
    ("wheat", "f5deb3"),
    ("lightgrey", "d3d3d3"),
    ("lightgray", "d3d3d3"),
    ("darkgrey", "a9a9a9"),
    ("darkgray", "a9a9a9"),
    ("lightblue", "add8e6"),
    ("lightcyan", "e0ffff"),
    ("lightgreen", "90ee90"),
    ("lightpink", "ffb6c1"),
    ("lightyellow", "ffffe0"),
    ("lightcoral", "f08080"),
    ("skyblue", "87ceeb"),
    ("lightskyblue", "87cefa"),
    ("steelblue", "4682b4"),
    ("darkblue", "00008b"),
    ("darkgreen", "006400"),
    ("darkred", "8b0000"),
    ("darkorange", "ff8c00"),
    ("whitesmoke", "f5f5f5"),
    ("aliceblue", "f0f8ff"),
];

/// Reads a colour: hash, `rgb()`, `hsl()`, and the names above.
pub(super) fn rgb(text: &str) -> Option<Rgba> {
    if let Some(digits) = text.strip_prefix('#') {
        return hash(digits);
    }
    if let Some((name, arguments)) = text.split_once('(') {
        return function(&name.to_ascii_lowercase(), arguments.strip_suffix(')')?);
    }
    let name = text.to_ascii_lowercase();
    let (_, digits) = NAMES.iter().find(|(known, _)| *known == name)?;
    hash(digits)
}

fn hash(digits: &str) -> Option<Rgba> {
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let wide: String = match digits.len() {
        3 | 4 => digits.chars().flat_map(|digit| [digit, digit]).collect(),
        6 | 8 => digits.to_owned(),
        _ => return None,
    };
    let part = |at: usize| {
        wide.get(at..at + 2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok())
            .map(|byte| f64::from(byte) / 255.0)
    };
    Some(Rgba {
        r: part(0)?,
        g: part(2)?,
        b: part(4)?,
        a: part(6).unwrap_or(1.0),
    })
}

fn function(name: &str, arguments: &str) -> Option<Rgba> {
    let parts: Vec<f64> = arguments
        .split([',', ' ', '/'])
        .filter(|part| !part.is_empty())
        .map(|part| match part.strip_suffix('%') {
            Some(percent) => percent.parse::<f64>().map(|number| number / 100.0),
            None => part.trim_end_matches("deg").parse(),
        })
        .collect::<Result<_, _>>()
        .ok()?;
    let (&first, &second, &third) = (parts.first()?, parts.get(1)?, parts.get(2)?);
    let a = parts.get(3).copied().unwrap_or(1.0);
    if !parts.iter().all(|part| part.is_finite()) {
        return None;
    }
    match name {
        "rgb" | "rgba" => Some(Rgba {
            r: first / 255.0,
            g: second / 255.0,
            b: third / 255.0,
            a,
        }),
        "hsl" | "hsla" => Some(Rgba {
            a,
            ..from_hsl(first, second.clamp(0.0, 1.0), third.clamp(0.0, 1.0))
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_of_the_theme_become_variables() {
        let mut paint = Paint::default();
        assert_eq!(paint.value("#edf2fb", Owner::Author), "var(--d0)");
        assert_eq!(
            paint.value("1px solid hsl(0, 100%, 50%)", Owner::Theme),
            "1px solid var(--d1)"
        );
        assert_eq!(paint.value("url(#fff)", Owner::Theme), "url(#fff)");
        assert_eq!(paint.value("none", Owner::Theme), "none");
        assert_eq!(
            paint.value("#edf2fb!important", Owner::Theme),
            "var(--d0)!important"
        );
        assert_eq!(paint.value("#f96", Owner::Author), "#f96");
        assert!(
            paint
                .rules("x")
                .contains("--d0:light-dark(#edf2fb,#1f2c42)")
        );
    }

    #[test]
    fn a_mirrored_colour_is_dark_where_it_was_light() {
        let white = rgb("#fff").unwrap();
        assert_eq!(white.mirrored().hex(), "#1f1f1f");
        assert_eq!(rgb("rgb(0,0,0)").unwrap().mirrored().hex(), "#e0e0e0");
        assert_eq!(rgb("hsl(-120, 100%, 50%)").unwrap().hex(), "#0000ff");
        assert_eq!(rgb("rgba(0, 0, 0, 0.5)").unwrap().hex(), "#00000080");
    }

    #[test]
    fn every_pair_of_text_and_ground_has_the_contrast_of_aa() {
        let contrast = |one: &str, other: &str| {
            let (one, other) = (
                rgb(one).unwrap().luminance(),
                rgb(other).unwrap().luminance(),
            );
            (one.max(other) + 0.05) / (one.min(other) + 0.05)
        };
        let dark = |light: &str| PALETTE.iter().find(|(known, _)| *known == light).unwrap().1;
        for ground in [CANVAS, NODE, CLUSTER, NOTE, ACTIVE, DONE] {
            assert!(contrast(TEXT, ground) > 4.5, "{ground}");
            assert!(contrast(dark(TEXT), dark(ground)) > 4.5, "dark {ground}");
        }
        for line in [LINE, NODE_BORDER, CRITICAL_BORDER] {
            assert!(contrast(line, CANVAS) > 3.0, "{line}");
            assert!(contrast(dark(line), dark(CANVAS)) > 3.0, "dark {line}");
        }
        assert_eq!(rgb("#ffeb3b").unwrap().ink(), "#111");
        assert_eq!(rgb("navy").unwrap().ink(), "#fff");
    }
}
