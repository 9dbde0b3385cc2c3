//! Calls on clients and pools.

use std::ffi::{c_char, c_int};
use std::mem::offset_of;
use std::ptr;
use std::time::Duration;

use super::argument::{flag, path, pool_ref, sized};
use super::buffer::plsm_buf_t;
use super::error::{answer, give, plsm_error_t};
use super::{CLIENTS, POOLS, json, plsm_client_t, plsm_pool_t};
use crate::wire::{PoolList, ReportBody};
use crate::{Client, CreateOptions, Pool, PoolRef, Result};

/// How a pool is created. Set all of it to zero, then `struct_size`, then what you want.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct plsm_create_options_t {
    /// `sizeof(plsm_create_options_t)`.
    pub struct_size: u32,
    /// Whether `index_capacity` counts.
    pub has_index_capacity: u32,
    /// The size of the file in bytes; 0 for 1 MiB.
    pub size_bytes: u64,
    /// How many slots the index has, if `has_index_capacity` is 1; 0 for no index.
    pub index_capacity: u64,
}

/// The size of the structure when it was first published.
const FIRST_SIZE: usize = offset_of!(plsm_create_options_t, index_capacity) + size_of::<u64>();

/// Gives a client of the pools in a directory, which need not be there yet. Free it with `plsm_client_free`.
///
/// # Safety
///
/// As the header says: `pool_dir` is null or text, `out` and `err` are null or may be written to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_client_new(
    pool_dir: *const c_char,
    out: *mut *mut plsm_client_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the client", ptr::null_mut(), || {
            CLIENTS.insert(Client::new(path(pool_dir, "pool directory")?))
        })
    }
}

/// Creates a pool of `size_bytes`, 0 for the default, and opens it. Free it with `plsm_pool_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_create(
    client: *const plsm_client_t,
    pool: *const c_char,
    size_bytes: u64,
    out: *mut *mut plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    let options = CreateOptions {
        size_bytes: (size_bytes != 0).then_some(size_bytes),
        ..CreateOptions::default()
    };
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the pool", ptr::null_mut(), || {
            opened(client, pool, |client, pool| {
                client.create_pool(pool, options)
            })
        })
    }
}

/// As `plsm_pool_create`, with options.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_create_ex(
    client: *const plsm_client_t,
    pool: *const c_char,
    options: *const plsm_create_options_t,
    out: *mut *mut plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the pool", ptr::null_mut(), || {
            let options = create_options(sized(options, FIRST_SIZE, "options of a pool")?)?;
            opened(client, pool, |client, pool| {
                client.create_pool(pool, options)
            })
        })
    }
}

/// Opens a pool to append to it and to read it. Free it with `plsm_pool_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_open(
    client: *const plsm_client_t,
    pool: *const c_char,
    out: *mut *mut plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the pool", ptr::null_mut(), || {
            opened(client, pool, Client::open_pool)
        })
    }
}

/// Opens a pool to read it, which needs no right to write it. Free it with `plsm_pool_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_open_to_read(
    client: *const plsm_client_t,
    pool: *const c_char,
    out: *mut *mut plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the pool", ptr::null_mut(), || {
            opened(client, pool, Client::open_pool_to_read)
        })
    }
}

/// Deletes a pool. Whoever has it open is told at the next call.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_delete(
    client: *const plsm_client_t,
    pool: *const c_char,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        answer(err, || {
            CLIENTS.get(client)?.delete_pool(&pool_ref(pool)?)?;
            Ok(0)
        })
    }
}

/// The pools of a directory, as one JSON object `{"pools":[...]}`, sorted by name. One that cannot be read has an `error`
/// and hides no other. Free it with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_list_json(
    client: *const plsm_client_t,
    out_list: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(
            err,
            out_list,
            "buffer for the list",
            plsm_buf_t::EMPTY,
            || json(&PoolList::new(&CLIENTS.get(client)?.list_pools()?)),
        )
    }
}

/// Checks a whole pool, damaged or not, as one JSON object: `status`, `ok` or `corrupt`, `last_good_seq`, up to which all
/// is sound, all ranges of `sound` messages, `issue_count` and the first `issues`. Damage is no error of this call. Free it
/// with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_verify_json(
    client: *const plsm_client_t,
    pool: *const c_char,
    out_report: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(
            err,
            out_report,
            "buffer for the report",
            plsm_buf_t::EMPTY,
            || {
                let report = CLIENTS.get(client)?.verify_pool(&pool_ref(pool)?)?;
                json(&ReportBody::new(&report))
            },
        )
    }
}

/// The same pool under another handle, whose appends wait at most `timeout_ms` for another writer, then fail with
/// `PLSM_ERROR_BUSY`; the first handle stays as it is (5 seconds, unless it came from this call). 0 tries once. Free it with
/// `plsm_pool_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_with_lock_timeout(
    pool: *const plsm_pool_t,
    timeout_ms: u64,
    out: *mut *mut plsm_pool_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(err, out, "place for the pool", ptr::null_mut(), || {
            let bound = Duration::from_millis(timeout_ms);
            POOLS.insert(POOLS.get(pool)?.with_lock_timeout(bound))
        })
    }
}

/// What there is to know of a pool, as one JSON object: name, path, sizes, bounds, metrics. Free it with `plsm_buf_free`.
///
/// # Safety
///
/// Pointers are as the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn plsm_pool_info_json(
    pool: *const plsm_pool_t,
    out_info: *mut plsm_buf_t,
    err: *mut *mut plsm_error_t,
) -> c_int {
    // SAFETY: as for this function.
    unsafe {
        give(
            err,
            out_info,
            "buffer for the info",
            plsm_buf_t::EMPTY,
            || json(&POOLS.get(pool)?.info()?),
        )
    }
}

/// A handle of the pool that `open` gives for this reference.
///
/// # Safety
///
/// `reference` is as for `argument::text`.
unsafe fn opened(
    client: *const plsm_client_t,
    reference: *const c_char,
    open: impl FnOnce(&Client, &PoolRef) -> Result<Pool>,
) -> Result<*mut plsm_pool_t> {
    let client = CLIENTS.get(client)?;
    // SAFETY: as for this function.
    let reference = unsafe { pool_ref(reference) }?;
    POOLS.insert(open(&client, &reference)?)
}

fn create_options(given: plsm_create_options_t) -> Result<CreateOptions> {
    let has_index = flag(given.has_index_capacity, "has_index_capacity")?;
    Ok(CreateOptions {
        size_bytes: (given.size_bytes != 0).then_some(given.size_bytes),
        index_capacity: has_index.then_some(given.index_capacity),
    })
}
