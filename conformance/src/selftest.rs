//! The suite's own test: each saboteur on each surface has to be caught by a case that it names.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anstream::println;

use crate::case::Case;
use crate::runner::{Target, run};
use crate::saboteur::{SABOTEURS, Saboteur};
use crate::suite::applies;

/// Runs them all and prints who was caught by what. Says whether everybody was.
pub(crate) fn run_all(cases: &[Case], targets: &[Target], workers: usize, only: &[String]) -> bool {
    let wanted = |saboteur: &&'static Saboteur| {
        only.is_empty() || only.iter().any(|name| name == saboteur.name)
    };
    let pairs: Vec<(&'static Saboteur, &Target)> = SABOTEURS
        .iter()
        .filter(wanted)
        .flat_map(|saboteur| {
            let there = targets
                .iter()
                .filter(|target| saboteur.surfaces.contains(&target.kind));
            there.map(move |target| (saboteur, target))
        })
        .collect();
    let next = AtomicUsize::new(0);
    let caught = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((saboteur, target)) = pairs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let by = catch(saboteur, target, cases);
                    let mut caught = caught
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    caught.insert((saboteur.name, target.kind.name()), by);
                }
            });
        }
    });
    let caught = caught
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    print(&caught, only);
    caught.values().all(Option::is_some)
}

/// The case that fails because of the saboteur, and at which step.
fn catch(saboteur: &'static Saboteur, target: &Target, cases: &[Case]) -> Option<String> {
    let target = Target {
        saboteur: Some(saboteur),
        ..target.clone()
    };
    let named = saboteur
        .cases
        .iter()
        .flat_map(|name| cases.iter().filter(|case| case.name.starts_with(*name)));
    named
        .filter(|case| applies(case, &target) && !case.not.contains_key(target.kind.name()))
        .find_map(|case| {
            let failure = run(case, &target).failure?;
            Some(format!("{}, step {}", case.name, failure.step))
        })
}

fn print(caught: &BTreeMap<(&str, &str), Option<String>>, only: &[String]) {
    for saboteur in SABOTEURS
        .iter()
        .filter(|saboteur| only.is_empty() || only.iter().any(|name| name == saboteur.name))
    {
        println!("{:<26} {}", saboteur.name, saboteur.does);
        for ((_, surface), by) in caught
            .iter()
            .filter(|((name, _), _)| *name == saboteur.name)
        {
            match by {
                Some(by) => println!("    {surface:<12} caught by {by}"),
                None => println!("    {surface:<12} NOT CAUGHT"),
            }
        }
    }
    let of = |name: &str| {
        caught
            .iter()
            .filter(|((saboteur, _), _)| *saboteur == name)
            .all(|(_, by)| by.is_some())
    };
    let names: std::collections::BTreeSet<&str> = caught.keys().map(|(name, _)| *name).collect();
    let whole = names.iter().filter(|name| of(name)).count();
    let single = caught.values().filter(|by| by.is_some()).count();
    println!(
        "caught {whole}/{} saboteurs, on {single}/{} surfaces",
        names.len(),
        caught.len()
    );
}
