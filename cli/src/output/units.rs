//! Sizes, shares, ages and spans of time for people.

use chrono::{DateTime, Local, SecondsFormat, TimeDelta, Utc};

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

/// `just now`, `3 min ago`, `in 15 min`, or `–` for never.
pub fn age(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    let Some(at) = at else { return "–".into() };
    let past = now - at;
    match past.num_seconds() {
        0 => "just now".into(),
        1.. => format!("{} ago", coarse(past)),
        _ => format!("in {}", coarse(-past)),
    }
}

/// One unit is enough to tell how old something is.
fn coarse(time: TimeDelta) -> String {
    let seconds = time.num_seconds();
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", (seconds + 30) / 60),
        3600..172_800 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} d", (seconds + 43_200) / 86_400),
    }
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

/// `14:05:09` on this machine's clock, with the date when it is not of today.
pub fn clock(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let (at, now) = (at.with_timezone(&Local), now.with_timezone(&Local));
    let pattern = if at.date_naive() == now.date_naive() {
        "%H:%M:%S"
    } else {
        "%Y-%m-%d %H:%M"
    };
    at.format(pattern).to_string()
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
    fn ages_look_both_ways_and_are_short() {
        let now = Utc::now();
        let table = [
            (0, "just now"),
            (42, "42 s ago"),
            (90, "2 min ago"),
            (5_000, "1 h ago"),
            (100_000, "28 h ago"),
            (800_000, "9 d ago"),
            (-899, "in 15 min"),
        ];
        for (seconds, text) in table {
            assert_eq!(age(Some(now - TimeDelta::seconds(seconds)), now), text);
        }
        assert_eq!(age(None, now), "–");
    }
}
