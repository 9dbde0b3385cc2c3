//! The Rust API against a model: random operations on a real pool, and beside it a plain list of what it should hold.
//!
//! The bug that this guards against: two features that are each right, and wrong together. A lap in the middle of an
//! imported hole, a tail that is resumed after a power loss, a batch that is torn where the ring ends.
//!
//! `PROPTEST_CASES` says how many cases there are. Cases that once failed are kept beside this file, and come first.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod disk;
mod follower;
mod judge;
mod operation;
mod reference;

use proptest::test_runner::{Config, FileFailurePersistence};
use proptest_state_machine::{StateMachineTest, prop_state_machine};

use judge::Judge;
use operation::{Habits, Operation, Operations};

/// How many cases there are unless told otherwise.
const CASES: u32 = 512;

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn a_pool_is_as_its_model(sequential 1..=60 => Pools);
}

fn config() -> Config {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    let config = Config {
        failure_persistence: Some(Box::new(kept)),
        max_shrink_iters: 4096,
        ..Config::default()
    };
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => config,
        None => Config {
            cases: CASES,
            ..config
        },
    }
}

/// What is tested. All of its state, the model included, is the judge's: times, and what a crash left, are known only
/// once the pool has told them.
struct Pools;

impl StateMachineTest for Pools {
    type SystemUnderTest = Judge;
    type Reference = Operations;

    fn init_test(habits: &Habits) -> Judge {
        Judge::new(habits.shape)
    }

    fn apply(mut judge: Judge, _: &Habits, operation: Operation) -> Judge {
        judge.perform(operation);
        judge
    }

    fn check_invariants(judge: &Judge, _: &Habits) {
        judge.check_info();
    }

    fn teardown(mut judge: Judge, _: Habits) {
        judge.check_everything();
    }
}
