//! PAX extended headers (POSIX.1-2001, pax "extended header"): records "LENGTH KEY=VALUE\n", whose values may contain any bytes.

use crate::failure::{Code, Failure, Result};
use crate::sys::at::Time;
use crate::tree::shown;

const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

pub type Record = (Vec<u8>, Vec<u8>);

pub fn parse(mut bytes: &[u8]) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        // Some writers fill the rest with NULs.
        if bytes.iter().all(|byte| *byte == 0) {
            break;
        }
        let (record, rest) = split(bytes).ok_or_else(|| Failure::new(Code::InvalidArgument, "a PAX record is malformed"))?;
        records.push(record);
        bytes = rest;
    }
    Ok(records)
}

fn split(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let space = bytes.iter().take(20).position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?;
    let (newline, record) = record.split_last()?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (*newline == b'\n' && equals > 0).then(|| ((key.to_vec(), value.to_vec()), &bytes[length..]))
}

/// Appends a record. The length includes its own digits, so one more digit may need another one.
pub fn append(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(format!("{length} ").as_bytes());
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

pub fn decimal(value: &[u8]) -> Result<u64> {
    let text = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| bad(value))
}

/// Parses a time: "-1.25" is a second and a quarter before the epoch; digits after nanoseconds are cut.
pub fn time(value: &[u8]) -> Result<Time> {
    let text = std::str::from_utf8(value).map_err(|_| bad(value))?;
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(bad(value));
    }
    let seconds: i64 = whole.parse().map_err(|_| bad(value))?;
    let nanoseconds: u32 = format!("{:0<9.9}", fraction).parse().map_err(|_| bad(value))?;
    Ok(match (negative, nanoseconds) {
        (false, _) => Time { seconds, nanoseconds },
        (true, 0) => Time {
            seconds: -seconds,
            nanoseconds: 0,
        },
        (true, _) => Time {
            seconds: -seconds - 1,
            nanoseconds: 1_000_000_000 - nanoseconds,
        },
    })
}

pub fn format_time(time: Time) -> String {
    let (sign, seconds, nanoseconds) = match time {
        Time { seconds: 0.., nanoseconds } => ("", time.seconds, nanoseconds),
        Time { nanoseconds: 0, .. } => ("-", -time.seconds, 0),
        Time { nanoseconds, .. } => ("-", -(time.seconds + 1), 1_000_000_000 - nanoseconds),
    };
    if nanoseconds == 0 {
        return format!("{sign}{seconds}");
    }
    format!("{sign}{seconds}.{}", format!("{nanoseconds:09}").trim_end_matches('0'))
}

fn bad(value: &[u8]) -> Failure {
    Failure::new(
        Code::InvalidArgument,
        format!("a PAX record holds {:?} where a number belongs", shown(value)),
    )
}

/// The record key of an extended attribute. A key can't contain `=`, so `=` and `%` are encoded as GNU tar does.
pub fn encode_attribute(name: &[u8]) -> Vec<u8> {
    let mut key = ATTRIBUTE.to_vec();
    for byte in name {
        match byte {
            b'=' => key.extend_from_slice(b"%3D"),
            b'%' => key.extend_from_slice(b"%25"),
            _ => key.push(*byte),
        }
    }
    key
}

/// None: the key is not that of an attribute.
pub fn decode_attribute(key: &[u8]) -> Option<Vec<u8>> {
    let mut rest = key.strip_prefix(ATTRIBUTE)?;
    let mut name = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        (rest, _) = match rest {
            [b'%', b'3', b'D', after @ ..] => (after, name.push(b'=')),
            [b'%', b'2', b'5', after @ ..] => (after, name.push(b'%')),
            _ => (after, name.push(*first)),
        };
    }
    Some(name)
}
