//! How far a long recording was looked at, on one line of a terminal.

use std::time::Duration;

/// Says so: bytes done, of how many where that is known, and for how long so far.
#[must_use]
pub fn line(done: u64, of: Option<u64>, so_far: Duration) -> String {
    let speed = done as f64 / so_far.as_secs_f64().max(1e-3);
    let mut text = mega(done as f64);
    if let Some(of) = of.filter(|of| *of > 0) {
        let share = (done as f64 / of as f64).min(1.0);
        let left = (of.saturating_sub(done)) as f64 / speed.max(1.0);
        let bar = "#".repeat((share * BAR as f64) as usize);
        text = format!(
            "[{bar:BAR$}] {:3.0} %  {text} of {}  {}/s",
            share * 100.0,
            mega(of as f64),
            mega(speed)
        );
        if done > 0 {
            text += &format!("  {}:{:02} left", left as u64 / 60, left as u64 % 60);
        }
    } else {
        text += &format!("  {}/s", mega(speed));
    }
    text
}

/// Cells of the bar.
const BAR: usize = 20;

fn mega(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_how_fast_and_how_long_yet() {
        let cases = [
            (
                0,
                Some(1_000_000_000),
                0,
                "[                    ]   0 %  0.0 MB of 1000.0 MB  0.0 MB/s",
            ),
            (
                250_000_000,
                Some(1_000_000_000),
                25,
                "[#####               ]  25 %  250.0 MB of 1000.0 MB  10.0 MB/s  1:15 left",
            ),
            // It grew meanwhile.
            (
                20_000_000,
                Some(10_000_000),
                1,
                "[####################] 100 %  20.0 MB of 10.0 MB  20.0 MB/s  0:00 left",
            ),
            (20_000_000, None, 2, "20.0 MB  10.0 MB/s"),
        ];
        for (done, of, seconds, expected) in cases {
            assert_eq!(line(done, of, Duration::from_secs(seconds)), expected);
        }
    }
}
