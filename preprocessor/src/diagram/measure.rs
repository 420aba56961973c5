//! How wide a text is, so that a box is wide enough for its label on every reader's screen.
//!
//! No font is at hand at build time, and none is known of the reader: mdBook brings Open Sans along, a drawing opened alone falls back to
//! Arial or what has its widths. So each character counts as wide as in the wider of the two.

use merman::svg::{
    DeterministicTextMeasurer, MeasurementProfileId, TextMeasurementPolicy, TextMeasurementProfile,
    TextMeasurementProfileIdentity, TextStyle,
};

/// The fonts that the widths are of, as CSS names them.
pub(super) const FAMILY: &str = "\"Open Sans\",Arial,Helvetica,sans-serif";

/// Widths from space to tilde in thousandths of the font's size: the wider of Open Sans and Arial, regular and bold.
const REGULAR: [u16; 95] = [
    278, 278, 401, 646, 572, 889, 730, 221, 333, 333, 552, 584, 278, 333, 278, 367, 572, 572, 572,
    572, 572, 572, 572, 572, 572, 572, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 729, 667,
    611, 778, 738, 279, 500, 667, 556, 903, 754, 779, 667, 779, 722, 667, 611, 728, 667, 944, 667,
    667, 611, 329, 367, 329, 542, 556, 577, 556, 613, 500, 613, 561, 339, 556, 614, 253, 253, 525,
    253, 930, 614, 604, 613, 613, 408, 500, 353, 614, 501, 778, 524, 504, 500, 379, 551, 379, 584,
];
const BOLD: [u16; 95] = [
    278, 333, 474, 646, 571, 901, 750, 266, 339, 339, 545, 584, 290, 333, 285, 413, 571, 571, 571,
    571, 571, 571, 571, 571, 571, 571, 333, 333, 584, 584, 584, 611, 975, 722, 722, 722, 740, 667,
    611, 778, 765, 331, 556, 722, 611, 943, 813, 796, 667, 796, 722, 667, 611, 756, 667, 967, 667,
    667, 611, 333, 413, 333, 584, 556, 607, 604, 633, 556, 633, 591, 387, 611, 657, 305, 305, 620,
    305, 982, 657, 619, 633, 633, 454, 556, 434, 657, 569, 856, 578, 569, 500, 394, 551, 394, 584,
];

/// What merman measures with.
///
/// A profile that merman does not take would leave its own estimate, which is narrower.
pub(super) fn policy() -> TextMeasurementPolicy {
    let measurer = DeterministicTextMeasurer {
        char_width_factor: 0.0,
        line_height_factor: 0.0,
    }
    .with_width_callback(width);
    let identity = MeasurementProfileId::new("runbook-open-sans-arial")
        .and_then(|id| TextMeasurementProfileIdentity::new(id, "1"));
    match identity {
        Ok(identity) => {
            TextMeasurementPolicy::uniform(TextMeasurementProfile::new(identity, measurer))
        }
        Err(_) => TextMeasurementPolicy::deterministic(),
    }
}

fn width(text: &str, style: &TextStyle) -> f64 {
    let bold = style.font_weight.as_deref().is_some_and(|weight| {
        weight.starts_with("bold") || weight.parse().is_ok_and(|weight: f64| weight >= 600.0)
    });
    let widths = if bold { &BOLD } else { &REGULAR };
    let thousandths: u32 = text.chars().map(|c| of(c, widths)).sum();
    f64::from(thousandths) / 1000.0 * style.font_size
}

fn of(c: char, widths: &[u16; 95]) -> u32 {
    match u32::from(c) {
        code @ 0x20..=0x7e => u32::from(widths[(code - 0x20) as usize]),
        // Control characters, soft hyphen, combining marks, joiners, variation selectors.
        0..=0x1f | 0x7f..=0x9f | 0xad | 0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f => 0,
        0xa0 => u32::from(widths[0]),
        0xa1..=0x24f => 640,
        0x250..=0x1fff => 860,
        0x2000..=0x206f => 700,
        0x1f000..=0x1faff => 1370,
        _ => 1000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bold_and_large_texts_are_wider() {
        let style = TextStyle::default();
        let bold = TextStyle {
            font_weight: Some("bolder".to_owned()),
            ..TextStyle::default()
        };
        let duck = width("Duck", &style);
        assert!((duck - 37.9).abs() < 0.1, "{duck}");
        assert!(width("Duck", &bold) > duck);
        assert_eq!(width("", &style), 0.0);
        assert!(width("日本", &style) > 30.0);
        assert_eq!(width("e\u{301}", &style), width("e", &style));
    }
}
