//! Recovery codes: the way in for who has lost the device of their second factor.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

/// Too many to be guessed, even by who has the hashes.
pub const CODE_BYTES: usize = 10;
/// How many a person gets.
pub const CODES: usize = 10;
const GROUP: usize = 4;

/// A code as it is shown, in groups that people can copy.
pub fn shown(bytes: [u8; CODE_BYTES]) -> Zeroizing<String> {
    let letters = Zeroizing::new(BASE32_NOPAD.encode(&bytes).to_lowercase());
    let mut shown = Zeroizing::new(String::with_capacity(letters.len() + letters.len() / GROUP));
    for (at, letter) in letters.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            shown.push('-');
        }
        shown.push(letter);
    }
    shown
}

/// A code as it is hashed, however somebody typed it.
pub fn plain(typed: &str) -> Zeroizing<String> {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    Zeroizing::new(letters.map(|c| c.to_ascii_lowercase()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let code = shown([7; CODE_BYTES]);
        assert_eq!(code.as_str(), "a4dq-obyh-a4dq-obyh");
        for typed in [
            "a4dq-obyh-a4dq-obyh",
            "A4DQOBYHA4DQOBYH",
            " a4dq obyh a4dq obyh\n",
        ] {
            assert_eq!(plain(typed).as_str(), "a4dqobyha4dqobyh");
        }
    }
}
