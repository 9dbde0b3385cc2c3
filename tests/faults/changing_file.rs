//! Files that change, vanish or were never pools, and systems that refuse: each has its kind of error, and nobody hangs
//! or crashes.
//!
//! Guards against a truncated file that kills its readers with SIGBUS, and against appends that are acknowledged into a
//! file that nobody can find any more.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use plasmite::platform::fork::fork_count;
use plasmite::policy::exit_code;
use plasmite::{
    Batch, Client, CreateOptions, Durability, EndReason, ErrorKind, IssueCode, Message, Next, Pool,
    PoolRef, Result, Start, Tags, TailOptions, Timestamp, install_sigbus_guard,
};

use crate::process::{Process, arguments, in_role, role, run_unprivileged};
use crate::small_disk::on_small_disk;

const SIZE: u64 = 256 * 1024;

/// A directory with one pool of 20 messages of 5 KB, `[1]` to `[20]` with something behind the number.
struct Scene {
    client: Client,
    pool: Pool,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        install_sigbus_guard().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let client = Client::new(directory.path());
        let pool = create(&client, "pool").unwrap();
        (1..=20).for_each(|n| append(&pool, &numbered(n)).unwrap());
        Scene {
            client,
            pool,
            directory,
        }
    }

    fn file(&self) -> File {
        let open = OpenOptions::new().read(true).write(true).open(self.path());
        open.unwrap()
    }

    fn path(&self) -> &Path {
        self.pool.path()
    }

    /// A handle that has not looked at anything yet.
    fn another_handle(&self) -> Pool {
        self.client.open_pool(&name("pool")).unwrap()
    }

    fn assert_handles_fail(&self, kind: ErrorKind, handles: &[Pool]) {
        for pool in handles {
            assert_eq!(kind_of(append(pool, "0")), kind);
            assert_eq!(kind_of(pool.bounds()), kind);
            assert_eq!(kind_of(pool.info()), kind);
            assert_eq!(kind_of(pool.tail(TailOptions::default())), kind);
        }
    }
}

#[test]
fn a_file_of_another_size_is_corrupt_to_every_handle() {
    for size in [0, 1, 4096, 5000, SIZE / 2, SIZE - 1, SIZE + 1, SIZE * 2] {
        let scene = Scene::new();
        let handles = [scene.another_handle(), scene.another_handle()];
        scene.file().set_len(size).unwrap();
        for seq in 1..=20 {
            assert_right_or_corrupt(&scene.pool, seq);
        }
        scene.assert_handles_fail(ErrorKind::Corrupt, &handles);
        assert_eq!(kind_of(scene.pool.verify()), ErrorKind::Corrupt);
        let report = scene.client.verify_pool(&name("pool")).unwrap();
        assert!(report.is_corrupt());
        assert_eq!(
            kind_of(scene.client.open_pool(&name("pool"))),
            ErrorKind::Corrupt
        );
    }
}

#[test]
fn a_file_truncated_and_grown_again_is_corrupt_and_not_empty() {
    let scene = Scene::new();
    let handles = [scene.another_handle(), scene.another_handle()];
    scene.file().set_len(0).unwrap();
    scene.file().set_len(SIZE).unwrap();
    assert_eq!(kind_of(scene.pool.get(1)), ErrorKind::Corrupt);
    scene.assert_handles_fail(ErrorKind::Corrupt, &handles);
}

#[test]
fn a_sleeping_tail_ends_when_its_file_changes_size() {
    for size in [0, 4096, SIZE / 2, SIZE * 2] {
        let scene = Scene::new();
        let outcome = while_asleep(&scene, || scene.file().set_len(size).unwrap());
        assert_eq!(kind_of(outcome), ErrorKind::Corrupt, "{size}");
    }
}

#[test]
fn a_truncated_pool_does_not_harm_another() {
    let (scene, sound) = (Scene::new(), Scene::new());
    scene.file().set_len(0).unwrap();
    assert_eq!(kind_of(scene.pool.get(20)), ErrorKind::Corrupt);
    append(&sound.pool, "0").unwrap();
    (1..=20).for_each(|seq| assert_eq!(sound.pool.get(seq).unwrap().data_json(), numbered(seq)));
}

#[test]
fn a_pool_that_was_deleted_or_replaced_is_not_found_to_every_handle() {
    for remove in REMOVALS {
        let scene = Scene::new();
        let handles = [scene.another_handle(), scene.another_handle()];
        remove(&scene);
        scene.assert_handles_fail(ErrorKind::NotFound, &handles);
        assert_eq!(kind_of(scene.pool.verify()), ErrorKind::NotFound);
    }
}

#[test]
fn a_sleeping_tail_ends_when_its_pool_is_deleted_or_replaced() {
    for remove in REMOVALS {
        let scene = Scene::new();
        let outcome = while_asleep(&scene, || remove(&scene));
        assert_eq!(kind_of(outcome), ErrorKind::NotFound);
    }
}

#[test]
fn a_writer_that_never_rests_finds_out_that_its_pool_is_gone() {
    for remove in REMOVALS {
        let scene = Scene::new();
        thread::scope(|s| {
            let writer = s.spawn(|| {
                loop {
                    if let Err(error) = append(&scene.pool, "0") {
                        return error.kind();
                    }
                }
            });
            while scene.pool.bounds().unwrap().newest < Some(100) {
                thread::yield_now();
            }
            remove(&scene);
            assert_eq!(writer.join().unwrap(), ErrorKind::NotFound);
        });
    }
}

#[test]
fn a_new_pool_of_the_same_name_is_another_one() {
    let scene = Scene::new();
    scene.client.delete_pool(&name("pool")).unwrap();
    let new = create(&scene.client, "pool").unwrap();
    append(&new, "\"new\"").unwrap();
    assert_eq!(kind_of(append(&scene.pool, "0")), ErrorKind::NotFound);
    assert_ne!(new.uuid(), scene.pool.uuid());
    assert_eq!(new.bounds().unwrap().newest, Some(1));
}

#[test]
fn a_clock_set_back_repeats_the_newest_time_and_says_so() {
    let scene = Scene::new();
    let ahead = Timestamp::from_nanos(Timestamp::now().as_nanos() + 3_600_000_000_000);
    let mut batch = Batch::new();
    batch.push(&"from the future", &Tags::none()).unwrap();
    let fast = Durability::Fast;
    scene
        .pool
        .append_batch_at(&batch, &[(21, ahead)], fast)
        .unwrap();
    assert_eq!(scene.pool.append_batch(&batch, fast).unwrap().time, ahead);
    assert_eq!(scene.pool.get(22).unwrap().time(), ahead);

    let age = scene.pool.info().unwrap().metrics.age;
    assert!(age.clock_behind_ms.unwrap() > 3_000_000);
    let report = scene.pool.verify().unwrap();
    let codes: Vec<IssueCode> = report.issues.iter().map(|issue| issue.code).collect();
    assert_eq!(codes, [IssueCode::ClockBehind]);
    assert!(!report.is_corrupt());

    let since = TailOptions {
        start: Start::Time(ahead),
        follow: false,
        ..TailOptions::default()
    };
    let tail = scene.pool.tail(since).unwrap();
    let seqs: Vec<u64> = tail.map(|message| message.unwrap().seq()).collect();
    assert_eq!(seqs, [21, 22]);
}

#[test]
fn of_creators_of_one_name_at_once_one_wins() {
    let test = "changing_file::of_creators_of_one_name_at_once_one_wins";
    if let Some(role) = role() {
        return exit_with(|| {
            // The parent closes this end for all creators at once.
            std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
            create(&Client::new(&role[0]), "pool").map(drop)
        });
    }
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let (gate_out, gate_in) = std::io::pipe().unwrap();
        let creators: Vec<Process> = (0..4)
            .map(|_| {
                let mut command = in_role(test, &[directory.path().to_str().unwrap()]);
                Process::start(command.stdin(gate_out.try_clone().unwrap()))
            })
            .collect();
        drop(gate_in);
        let mut codes: Vec<_> = creators.into_iter().map(|c| c.end().code()).collect();
        codes.sort_unstable();
        let lost = Some(i32::from(exit_code(ErrorKind::AlreadyExists)));
        assert_eq!(codes, [Some(0), lost, lost, lost]);

        let client = Client::new(directory.path());
        append(&client.open_pool(&name("pool")).unwrap(), "1").unwrap();
        assert!(client.verify_pool(&name("pool")).unwrap().issues.is_empty());
        assert_eq!(files_in(directory.path()), ["pool.plasmite"]);
    }
}

#[test]
fn creating_on_a_full_disk_fails_and_leaves_nothing() {
    let test = "changing_file::creating_on_a_full_disk_fails_and_leaves_nothing";
    if let Some(role) = role() {
        return assert_disk_is_small(Path::new(&role[0]));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = on_small_disk(directory.path(), 512 * 1024);
    command.args(arguments(test)).stdout(Stdio::null());
    let like = in_role(test, &[directory.path().to_str().unwrap()]);
    command.envs(like.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let status = match command.output() {
        Ok(done) if done.status.code() != Some(101) => done.status,
        Ok(failed) => panic!("{}", String::from_utf8_lossy(&failed.stderr)),
        Err(error) => return println!("skipped: there is no unshare ({error})"),
    };
    if !status.success() {
        println!("skipped: this user may not mount a file system ({status})");
    }
}

fn assert_disk_is_small(directory: &Path) {
    let client = Client::new(directory);
    let megabyte = CreateOptions {
        size_bytes: Some(1024 * 1024),
        index_capacity: None,
    };
    let error = client.create_pool(&name("pool"), megabyte).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(error.hint_text().unwrap().contains("space"), "{error:?}");
    assert!(files_in(directory).is_empty());
    // Every byte of what did fit is there: no append can run out of space later.
    let pool = create(&client, "pool").unwrap();
    for n in 1..=200 {
        append(&pool, &numbered(n)).unwrap();
    }
    assert!(client.verify_pool(&name("pool")).unwrap().issues.is_empty());
}

#[test]
fn creating_beyond_the_limit_of_the_process_fails_and_leaves_nothing() {
    let test = "changing_file::creating_beyond_the_limit_of_the_process_fails_and_leaves_nothing";
    if let Some(role) = role() {
        let limit = libc::rlimit {
            rlim_cur: 512 * 1024,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is a live value to read from.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
        return assert_limit_is_kept(Path::new(&role[0]));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut command = in_role(test, &[directory.path().to_str().unwrap()]);
    let status = Process::start(&mut command).end();
    assert!(status.success(), "{status}");
}

fn assert_limit_is_kept(directory: &Path) {
    let client = Client::new(directory);
    for size in [512 * 1024 + 1, 1024 * 1024] {
        let options = CreateOptions {
            size_bytes: Some(size),
            index_capacity: None,
        };
        let error = client.create_pool(&name("pool"), options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.hint_text().unwrap().contains("ulimit"), "{error:?}");
        assert!(files_in(directory).is_empty());
    }
    append(&create(&client, "pool").unwrap(), "1").unwrap();
}

#[test]
fn a_pool_of_another_format_version_is_refused_by_version_and_stays_as_it_is() {
    let scene = Scene::new();
    let pool = name("pool");
    for version in [0, 1, 2, 3, 5, u32::MAX] {
        scene
            .file()
            .write_all_at(&version.to_le_bytes(), 4)
            .unwrap();
        let before = fs::read(scene.path()).unwrap();
        let errors = [
            scene.client.open_pool(&pool).map(drop),
            scene.client.open_pool_to_read(&pool).map(drop),
            scene.client.delete_pool(&pool).map(drop),
            scene
                .client
                .list_pools()
                .unwrap()
                .remove(0)
                .bounds
                .map(drop),
        ]
        .map(Result::unwrap_err);
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            for number in [version, 4] {
                let named = format!("version {number}");
                assert!(error.message().contains(&named), "{error}");
            }
            assert!(error.hint_text().is_some());
        }
        let report = scene.client.verify_pool(&pool).unwrap();
        let codes: Vec<IssueCode> = report.issues.iter().map(|issue| issue.code).collect();
        assert_eq!(codes, [IssueCode::Header]);
        assert!(fs::read(scene.path()).unwrap() == before);
    }
}

#[test]
fn what_a_user_may_not_do_is_permission() {
    let test = "changing_file::what_a_user_may_not_do_is_permission";
    if let Some(role) = role() {
        return assert_forbidden(Path::new(&role[0]));
    }
    let scene = Scene::new();
    create(&scene.client, "secret").unwrap();
    let free = scene.directory.path().join("free");
    fs::create_dir(&free).unwrap();
    create(&Client::new(&free), "stuck").unwrap();
    set_mode(scene.path(), 0o444);
    set_mode(&scene.directory.path().join("secret.plasmite"), 0o000);
    set_mode(&free.join("stuck.plasmite"), 0o666);
    set_mode(&free, 0o555);
    set_mode(scene.directory.path(), 0o555);

    let status = run_unprivileged(test, &[scene.directory.path().to_str().unwrap()]);
    assert!(status.success(), "{status}");
    // So that they can be removed by whoever runs this.
    set_mode(scene.directory.path(), 0o755);
    set_mode(&free, 0o755);
}

/// UNLINK-6: a pool that is open stays so when its directory may no longer be searched.
fn assert_closed_directory_is_no_deletion() {
    let directory = tempfile::tempdir().unwrap();
    let pool = create(&Client::new(directory.path()), "pool").unwrap();
    set_mode(directory.path(), 0o000);
    assert!(fs::metadata(pool.path()).is_err());
    append(&pool, "1").unwrap();
    assert_eq!(pool.bounds().unwrap().newest, Some(1));
    set_mode(directory.path(), 0o755);
    pool.bounds().unwrap();
    fs::rename(pool.path(), directory.path().join("away")).unwrap();
    assert_eq!(kind_of(pool.bounds()), ErrorKind::NotFound);
}

fn assert_forbidden(directory: &Path) {
    assert_closed_directory_is_no_deletion();
    let client = Client::new(directory);
    let denied = ErrorKind::Permission;
    assert_eq!(kind_of(client.open_pool(&name("pool"))), denied);
    assert_eq!(kind_of(client.delete_pool(&name("pool"))), denied);
    let pool = client.open_pool_to_read(&name("pool")).unwrap();
    assert_eq!(pool.get(20).unwrap().data_json(), numbered(20));
    assert_eq!(kind_of(append(&pool, "0")), denied);
    assert_eq!(kind_of(pool.flush()), denied);
    assert!(client.verify_pool(&name("pool")).unwrap().issues.is_empty());

    assert_eq!(kind_of(client.open_pool_to_read(&name("secret"))), denied);
    assert_eq!(kind_of(client.verify_pool(&name("secret"))), denied);
    let listed = client.list_pools().unwrap();
    let bounds: Vec<_> = listed.into_iter().map(|pool| pool.bounds).collect();
    assert_eq!(bounds[0].as_ref().unwrap().newest, Some(20));
    assert_eq!(bounds[1].as_ref().unwrap_err().kind(), denied);

    assert_eq!(kind_of(create(&client, "new")), denied);
    // The file may be written, its name may not be taken away: the pool is not half deleted after that.
    let free = Client::new(directory.join("free"));
    let stuck = free.open_pool(&name("stuck")).unwrap();
    assert_eq!(kind_of(free.delete_pool(&name("stuck"))), denied);
    append(&stuck, "1").unwrap();
    append(&free.open_pool(&name("stuck")).unwrap(), "2").unwrap();
}

#[test]
fn what_is_not_a_pool_is_refused_and_stays_as_it_is() {
    let scene = Scene::new();
    let at = |name: &str| scene.directory.path().join(format!("{name}.plasmite"));
    fs::create_dir(at("directory")).unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(at("fifo"))
            .status()
            .unwrap()
            .success()
    );
    fs::write(at("empty"), "").unwrap();
    fs::write(at("foreign"), "#!/bin/sh\n".repeat(1000)).unwrap();
    fs::write(at("zeros"), [0; 65_536]).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();

    let cases = [
        ("directory", ErrorKind::Usage),
        ("fifo", ErrorKind::Usage),
        ("empty", ErrorKind::Corrupt),
        ("foreign", ErrorKind::Corrupt),
        ("zeros", ErrorKind::Corrupt),
        ("dangling", ErrorKind::NotFound),
    ];
    for (what, kind) in cases {
        let pool = name(what);
        assert_eq!(kind_of(scene.client.open_pool(&pool)), kind, "{what}");
        assert_eq!(kind_of(scene.client.open_pool_to_read(&pool)), kind);
        let refused = match what {
            // A link is no pool, wherever it leads. [DELETE-9]
            "dangling" => ErrorKind::Usage,
            _ => kind,
        };
        assert_eq!(kind_of(scene.client.delete_pool(&pool)), refused, "{what}");
        match kind {
            ErrorKind::Corrupt => assert!(scene.client.verify_pool(&pool).unwrap().is_corrupt()),
            kind => assert_eq!(kind_of(scene.client.verify_pool(&pool)), kind),
        }
        let taken = kind_of(create(&scene.client, what));
        assert_eq!(taken, ErrorKind::AlreadyExists, "{what}");
        assert!(at(what).symlink_metadata().is_ok(), "{what} is gone");
    }
    assert_eq!(fs::read(at("foreign")).unwrap().len(), 10_000);

    // What cannot be read does not hide what can.
    let listed = scene.client.list_pools().unwrap();
    let pool = listed.iter().find(|entry| entry.name == "pool").unwrap();
    assert_eq!(pool.bounds.as_ref().unwrap().newest, Some(20));
    let empty = listed.iter().find(|entry| entry.name == "empty").unwrap();
    assert_eq!(
        empty.bounds.as_ref().unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

#[test]
fn a_handle_refuses_to_write_in_a_forked_child() {
    let scene = Scene::new();
    assert!(fork_count() < u64::MAX);
    // Everything that the library initialises once has been, by `Scene::new`.
    let child = Process::fork(|| {
        let refused = [append(&scene.pool, "0"), scene.pool.flush()];
        let reads = scene
            .pool
            .get(20)
            .is_ok_and(|m| m.data_json() == numbered(20));
        let reopened = scene.client.open_pool(&name("pool"));
        let writes = reopened.and_then(|pool| append(&pool, "\"child\""));
        let refuses = refused.map(|outcome| outcome.is_err_and(|e| e.kind() == ErrorKind::Usage));
        i32::from(!(refuses == [true, true] && reads && writes.is_ok()))
    });
    assert_eq!(child.end().code(), Some(0));
    append(&scene.pool, "\"parent\"").unwrap();
    assert_eq!(scene.pool.get(21).unwrap().data_json(), "\"child\"");
    assert_eq!(scene.pool.get(22).unwrap().data_json(), "\"parent\"");
}

/// The ways in which a name can come to lead elsewhere.
const REMOVALS: [fn(&Scene); 6] = [
    |scene| drop(scene.client.delete_pool(&name("pool")).unwrap()),
    |scene| fs::remove_file(scene.path()).unwrap(),
    |scene| {
        let other = scene.directory.path().join("other.plasmite");
        create(&scene.client, "other").unwrap();
        fs::rename(other, scene.path()).unwrap();
    },
    |scene| fs::rename(scene.path(), scene.directory.path().join("away")).unwrap(),
    |scene| {
        // Its inode has another name, and so a link count that is not 0.
        fs::hard_link(scene.path(), scene.directory.path().join("kept")).unwrap();
        fs::remove_file(scene.path()).unwrap();
    },
    |scene| {
        fs::rename(scene.path(), scene.directory.path().join("old")).unwrap();
        create(&scene.client, "pool").unwrap();
    },
];

/// What a tail comes to that has nothing to read when `change` happens.
fn while_asleep(scene: &Scene, change: impl FnOnce()) -> Result<Next> {
    let (idle, is_idle) = std::sync::mpsc::channel();
    thread::scope(|s| {
        let reader = s.spawn(move || {
            let patient = TailOptions {
                // Only so that a reader that never finds out fails the test rather than stopping it.
                timeout: Some(Duration::from_secs(60)),
                ..TailOptions::default()
            };
            let mut tail = scene.pool.tail(patient)?;
            let mut message = Message::default();
            assert_eq!(
                tail.read_before(std::time::Instant::now(), &mut message)?,
                Next::Idle
            );
            idle.send(()).unwrap();
            let outcome = tail.read(&mut message);
            assert!(!matches!(outcome, Ok(Next::End(EndReason::Timeout))));
            // It stays at its end.
            assert_eq!(kind_of(tail.read(&mut message)), kind_of_ref(&outcome));
            outcome
        });
        is_idle.recv().unwrap();
        change();
        reader.join().unwrap()
    })
}

fn assert_right_or_corrupt(pool: &Pool, seq: u64) {
    match pool.get(seq) {
        Ok(message) => assert!(
            message.data_json() == numbered(seq),
            "message {seq} is wrong"
        ),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
    }
}

fn numbered(n: u64) -> String {
    format!("[{n},\"{}\"]", "x".repeat(5000))
}

fn append(pool: &Pool, data: &str) -> Result<()> {
    pool.append_json(data.as_bytes(), &Tags::none(), Durability::Fast)
        .map(drop)
}

fn create(client: &Client, pool: &str) -> Result<Pool> {
    let options = CreateOptions {
        size_bytes: Some(SIZE),
        index_capacity: None,
    };
    client.create_pool(&name(pool), options)
}

fn name(pool: &str) -> PoolRef {
    PoolRef::parse(pool).unwrap()
}

fn kind_of<T: std::fmt::Debug>(outcome: Result<T>) -> ErrorKind {
    kind_of_ref(&outcome)
}

fn kind_of_ref<T: std::fmt::Debug>(outcome: &Result<T>) -> ErrorKind {
    let error = outcome.as_ref().unwrap_err();
    assert!(error.hint_text().is_some(), "{error} has no hint");
    error.kind()
}

/// Tells the parent process what came of it.
fn exit_with(work: impl FnOnce() -> Result<()>) {
    if let Err(error) = work() {
        std::process::exit(exit_code(error.kind()).into());
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn files_in(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}
