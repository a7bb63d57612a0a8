use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::account::Account;

type Waiting<'a> = BoxFuture<'a, Result<AccountTurn, Full>>;

fn account(name: &str) -> AccountKey {
    Account::from_username(name.to_owned()).key
}

fn client(number: usize) -> ClientNetwork {
    ClientNetwork::from_address(&format!("2001:db8:0:{number:x}::1"))
}

fn take(turns: &AccountTurns, name: &str, number: usize) -> AccountTurn {
    let turn = turns.turn(account(name), client(number)).now_or_never();
    turn.expect("the account has a free turn").ok().unwrap()
}

/// Asks for a turn that is not free.
fn ask<'a>(turns: &'a AccountTurns, name: &str, number: usize) -> Waiting<'a> {
    let mut turn = turns.turn(account(name), client(number)).boxed();
    assert!(turn.as_mut().now_or_never().is_none(), "the try waits");
    turn
}

fn refusal(turns: &AccountTurns, name: &str, number: usize) -> Full {
    let turn = turns.turn(account(name), client(number)).now_or_never();
    turn.expect("the try does not wait").err().expect("the try is refused")
}

#[test]
fn five_tries_of_an_account_are_in_progress_and_the_others_wait_in_turn() {
    let turns = AccountTurns::new();
    let mut running: Vec<AccountTurn> = (0..5).map(|_| take(&turns, "anna", 1)).collect();
    let [mut first, mut second] = [ask(&turns, "anna", 1), ask(&turns, "ANNA", 1)];
    let mut other = ask(&turns, "anna", 2);
    let _unhindered = take(&turns, "berta", 1);

    running.pop();
    let taken = first.as_mut().now_or_never().expect("it is the first").ok().unwrap();
    drop(taken);
    let taken = other.as_mut().now_or_never().expect("networks take turns").ok().unwrap();
    assert!(second.as_mut().now_or_never().is_none());
    drop(taken);
    assert!(second.now_or_never().expect("it is the last").is_ok());
}

#[test]
fn tries_that_wait_are_bounded_for_each_network_and_in_all() {
    let turns = AccountTurns::new();
    let _running: Vec<AccountTurn> = (0..5).map(|_| take(&turns, "anna", 1)).collect();
    let _flood: Vec<Waiting<'_>> = (0..16).map(|_| ask(&turns, "anna", 1)).collect();
    assert_eq!(refusal(&turns, "anna", 1), Full::Key);
    let _other = ask(&turns, "anna", 2);

    let mut waiting = Vec::new();
    let mut all = Vec::new();
    for number in (0..).take_while(|number| 17 + number * 128 < MAX_WAITING) {
        let name = format!("berta{}", "a".repeat(number));
        all.extend((0..5).map(|_| take(&turns, &name, 1)));
        let free = (MAX_WAITING - 17 - number * 128).min(128);
        waiting.extend((0..free).map(|network| ask(&turns, &name, network / 8)));
    }
    assert_eq!(refusal(&turns, "anna", 3), Full::Queue);
    drop(waiting.pop());
    let _next = ask(&turns, "anna", 3);
}

#[test]
fn an_account_without_tries_takes_no_memory() {
    let turns = AccountTurns::new();
    let running: Vec<AccountTurn> = (0..5).map(|_| take(&turns, "anna", 1)).collect();
    let waiting = ask(&turns, "anna", 1);
    assert_eq!(lock(&turns.0).waiting, 1);
    drop(waiting);
    assert_eq!(lock(&turns.0).waiting, 0);
    drop(running);
    assert!(lock(&turns.0).entries.is_empty());
}
