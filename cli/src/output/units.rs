//! Sizes, shares, ages and spans of time for people.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

/// `12.3 KiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `3.1 GiB / 8.0 GiB`.
pub fn share(used: u64, total: u64) -> String {
    if total == 0 {
        return "–".into();
    }
    format!("{} / {}", bytes(used), bytes(total))
}

/// `42.0 %`.
pub fn percent(value: f64) -> String {
    format!("{value:.1} %")
}

/// `3 min ago`, or `–` for never.
pub fn age(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(at) = at else { return "–".into() };
    let past = now - at;
    if past < TimeDelta::seconds(-1) {
        return format!("in {}", span(-past));
    }
    format!("{} ago", span(past))
}

/// `850 ms`, `4.2 s`, `3 min 20 s`, `5 h 12 min`, `9 d 4 h`.
#[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
pub fn span(time: TimeDelta) -> String {
    let milliseconds = time.num_milliseconds().max(0);
    let (seconds, minutes, hours, days) = (
        milliseconds / 1000,
        milliseconds / 60_000,
        milliseconds / 3_600_000,
        milliseconds / 86_400_000,
    );
    let pair = |large: i64, unit: &str, small: i64, part: &str| {
        if small == 0 {
            format!("{large} {unit}")
        } else {
            format!("{large} {unit} {small} {part}")
        }
    };
    if milliseconds < 1000 {
        format!("{milliseconds} ms")
    } else if seconds < 60 {
        format!("{:.1} s", milliseconds as f64 / 1000.0)
    } else if minutes < 60 {
        pair(minutes, "min", seconds % 60, "s")
    } else if hours < 48 {
        pair(hours, "h", minutes % 60, "min")
    } else {
        pair(days, "d", hours % 24, "h")
    }
}

/// `2026-01-31T12:00:00Z`, for details.
pub fn moment(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(
        || "–".into(),
        |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
    )
}

/// `1 line`, `2 lines`.
pub fn counted(count: usize, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {one}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let table = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (12_595, "12.3 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (5 * 1024 * 1024 * 1024, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (count, text) in table {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn spans_have_the_two_units_that_matter() {
        let table = [
            (0, "0 ms"),
            (850, "850 ms"),
            (4_230, "4.2 s"),
            (60_000, "1 min"),
            (200_000, "3 min 20 s"),
            (18_720_000, "5 h 12 min"),
            (9 * 86_400_000 + 4 * 3_600_000, "9 d 4 h"),
        ];
        for (milliseconds, text) in table {
            assert_eq!(span(TimeDelta::milliseconds(milliseconds)), text);
        }
    }

    #[test]
    fn ages_look_both_ways() {
        let now = Utc::now();
        assert_eq!(
            age(Some(now - TimeDelta::seconds(90)), now),
            "1 min 30 s ago"
        );
        assert_eq!(age(Some(now + TimeDelta::minutes(15)), now), "in 15 min");
        assert_eq!(age(None, now), "–");
    }
}
