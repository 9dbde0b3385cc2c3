//! What each kind of error is called outside the process: exit code, HTTP status, C ABI code.
//!
//! This table is the only place that knows them.

use crate::core::error::ErrorKind;

/// The codes of one kind.
struct Codes {
    kind: ErrorKind,
    exit: u8,
    http: u16,
    abi: i32,
}

/// One row per kind, in the order of [`ErrorKind::ALL`].
const TABLE: [Codes; ErrorKind::ALL.len()] = [
    row(ErrorKind::Internal, 1, 500, 1),
    row(ErrorKind::Usage, 2, 400, 2),
    row(ErrorKind::NotFound, 3, 404, 3),
    row(ErrorKind::AlreadyExists, 4, 409, 4),
    row(ErrorKind::Busy, 5, 423, 5),
    row(ErrorKind::Permission, 6, 403, 6),
    row(ErrorKind::Corrupt, 7, 500, 7),
    row(ErrorKind::Io, 8, 500, 8),
    row(ErrorKind::RetentionGap, 9, 410, 9),
];

/// The exit code of a command that failed with this kind.
pub const fn exit_code(kind: ErrorKind) -> u8 {
    codes(kind).exit
}

/// The HTTP status that answers a request which failed with this kind.
///
/// Two conditions are finer than their kind, and the server tells them apart: a body over the limit is `Usage` with
/// 413, and a missing or wrong credential is `Permission` with 401.
pub const fn http_status(kind: ErrorKind) -> u16 {
    codes(kind).http
}

/// The code of this kind in the C ABI's error structure.
pub const fn abi_code(kind: ErrorKind) -> i32 {
    codes(kind).abi
}

const fn row(kind: ErrorKind, exit: u8, http: u16, abi: i32) -> Codes {
    Codes {
        kind,
        exit,
        http,
        abi,
    }
}

const fn codes(kind: ErrorKind) -> &'static Codes {
    &TABLE[kind as usize]
}

// Indexing by discriminant is right only while the rows stand in the enum's order.
const _: () = {
    let mut i = 0;
    while i < TABLE.len() {
        assert!(TABLE[i].kind as usize == i && ErrorKind::ALL[i] as usize == i);
        i += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_codes_of_the_contract() {
        let contract = [
            ("Internal", 1, 500),
            ("Usage", 2, 400),
            ("NotFound", 3, 404),
            ("AlreadyExists", 4, 409),
            ("Busy", 5, 423),
            ("Permission", 6, 403),
            ("Corrupt", 7, 500),
            ("Io", 8, 500),
            ("RetentionGap", 9, 410),
        ];
        let table = ErrorKind::ALL.map(|kind| (kind.name(), exit_code(kind), http_status(kind)));
        assert_eq!(table, contract);
        assert!(
            ErrorKind::ALL
                .iter()
                .all(|&kind| abi_code(kind) == i32::from(exit_code(kind)))
        );
    }
}
