//! The meaning of an epoll token: a kind of descriptor, and a number of that kind.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    Signals,
    Listener,
    Daemon,
    Client,
    Shim,
    HelperOutput,
    HelperErrors,
    Orphan,
}

const KINDS: [Kind; 8] = [
    Kind::Signals,
    Kind::Listener,
    Kind::Daemon,
    Kind::Client,
    Kind::Shim,
    Kind::HelperOutput,
    Kind::HelperErrors,
    Kind::Orphan,
];

pub fn token(kind: Kind, number: u32) -> u64 {
    u64::from(kind as u32) << 32 | u64::from(number)
}

/// Splits a token into its kind and its number.
pub fn parts(token: u64) -> (Kind, u32) {
    (KINDS[(token >> 32) as usize], token as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_kind_and_its_number() {
        for (at, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            for number in [0, 1, u32::MAX] {
                assert_eq!(parts(token(kind, number)), (kind, number));
            }
        }
    }
}
