use std::time::SystemTime;

use countersign_core::endpoint::Endpoint;
use countersign_core::failure::{Class, Failure};
use countersign_core::name::{DbUser, Engine};

use super::{MAX_AGE, MAX_ENTRIES, Token, TokenCache};
use crate::clock::ManualClock;
use crate::testing::{Loads, credentials, identity, noon, seconds};

fn endpoint() -> Endpoint {
    let host = "mydb.123456789012.us-east-1.rds.amazonaws.com".parse().unwrap();
    Endpoint { engine: Engine::Postgres, host, port: 5432, region: "us-east-1".parse().unwrap() }
}

fn user(name: &str) -> DbUser {
    name.parse().unwrap()
}

/// TokenCache of credentials with an end.
fn tokens(expires: Option<SystemTime>) -> (ManualClock, TokenCache, Loads) {
    let hand = ManualClock::new(noon());
    let (identity, loads) = identity(&hand, move |number| Ok(credentials(number, expires)));
    let tokens = TokenCache::new(identity, hand.clock());
    (hand, tokens, loads)
}

async fn token(tokens: &TokenCache, name: &str) -> Token {
    tokens.token(&endpoint(), &user(name)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_token_serves_for_ten_minutes() {
    let (hand, tokens, _) = tokens(None);
    let first = token(&tokens, "jane").await;
    assert_eq!((first.minted_at(), first.expires_at()), (noon(), noon() + MAX_AGE));
    assert!(
        first.expose().starts_with("mydb.123456789012.us-east-1.rds.amazonaws.com:5432/?"),
        "{}",
        first.expose()
    );
    assert!(first.expose().contains("DBUser=jane"));
    hand.set(noon() + MAX_AGE - seconds(1));
    assert_eq!(token(&tokens, "jane").await.expose(), first.expose());
    hand.advance(seconds(1));
    let second = token(&tokens, "jane").await;
    assert_ne!(second.expose(), first.expose());
    assert_eq!(second.minted_at(), noon() + MAX_AGE);
}

#[tokio::test(start_paused = true)]
async fn a_token_ends_with_its_credentials() {
    let (_, tokens, _) = tokens(Some(noon() + seconds(200)));
    assert_eq!(token(&tokens, "jane").await.expires_at(), noon() + seconds(200));
    let (hand, tokens, loads) = self::tokens(Some(noon() + seconds(3600)));
    hand.set(noon() + seconds(3599));
    let last = token(&tokens, "jane").await;
    assert_eq!(last.expires_at(), noon() + seconds(3600));
    hand.advance(seconds(1));
    assert!(loads.count() > 0);
    let failure = tokens.token(&endpoint(), &user("jane")).await.unwrap_err();
    assert_eq!(failure.class, Class::CredentialsExpired, "what the source gives has ended too");
}

#[tokio::test(start_paused = true)]
async fn a_token_of_the_future_is_none() {
    let (hand, tokens, _) = tokens(None);
    let first = token(&tokens, "jane").await;
    hand.set(noon() - seconds(60));
    let second = token(&tokens, "jane").await;
    assert_eq!(second.minted_at(), noon() - seconds(60));
    assert_ne!(second.expose(), first.expose());
}

#[tokio::test(start_paused = true)]
async fn other_credentials_sign_other_tokens() {
    let (hand, tokens, _) = tokens(None);
    assert_eq!(token(&tokens, "jane").await.access_key_id().as_str(), "ASIAEXAMPLE1");
    hand.advance(seconds(1));
    tokens.identity().invalidate();
    let rotated = token(&tokens, "jane").await;
    assert_eq!(
        (rotated.access_key_id().as_str(), rotated.minted_at()),
        ("ASIAEXAMPLE2", noon() + seconds(1))
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_is_refused_is_forgotten_once() {
    let (hand, tokens, loads) = tokens(None);
    let first = token(&tokens, "jane").await;
    hand.advance(seconds(2));
    tokens.reject(&endpoint(), &user("jane"), &first);
    assert!(tokens.report().is_empty());
    let second = token(&tokens, "jane").await;
    assert_eq!(
        (second.access_key_id().as_str(), loads.count()),
        ("ASIAEXAMPLE2", 2),
        "the credentials are read anew"
    );
    hand.advance(seconds(2));
    // The others of the storm come late with what they had.
    tokens.reject(&endpoint(), &user("jane"), &first);
    assert_eq!(token(&tokens, "jane").await.expose(), second.expose());
    assert_eq!(loads.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_storm_that_is_refused_reads_the_credentials_anew_once() {
    let (hand, tokens, loads) = tokens(None);
    let first = token(&tokens, "jane").await;
    hand.advance(seconds(2));
    for _ in 0..100 {
        tokens.reject(&endpoint(), &user("jane"), &first);
    }
    token(&tokens, "jane").await;
    hand.advance(seconds(2));
    token(&tokens, "jane").await;
    assert_eq!(loads.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn each_user_and_endpoint_has_its_own() {
    let (_, tokens, loads) = tokens(None);
    let jane = token(&tokens, "jane").await;
    assert_ne!(jane.expose(), token(&tokens, "john").await.expose());
    let other = Endpoint { port: 5433, ..endpoint() };
    assert_ne!(jane.expose(), tokens.token(&other, &user("jane")).await.unwrap().expose());
    assert_eq!((tokens.report().len(), loads.count()), (3, 1));
}

/// Where clients name the user, they could fill the memory.
#[tokio::test(start_paused = true)]
async fn no_more_are_kept_than_the_bound_and_those_in_use_stay() {
    let (hand, tokens, _) = tokens(None);
    token(&tokens, "in_use").await;
    token(&tokens, "forgotten").await;
    hand.advance(seconds(1));
    for number in 0..MAX_ENTRIES {
        token(&tokens, &format!("user{number}")).await;
        token(&tokens, "in_use").await;
    }
    let kept = tokens.report();
    assert_eq!(kept.len(), MAX_ENTRIES);
    let minted =
        |name: &str| kept.iter().find(|one| one.user == user(name)).map(|one| one.minted_at);
    assert_eq!(minted("in_use"), Some(noon()));
    assert_eq!(minted("forgotten"), None);
}

#[tokio::test(start_paused = true)]
async fn an_error_says_for_whom_and_where() {
    let hand = ManualClock::new(noon());
    let (identity, _) =
        identity(&hand, |_| Err(Failure::new(Class::NoCredentials, "there are none")));
    let failure = TokenCache::new(identity, hand.clock())
        .token(&endpoint(), &user("jane"))
        .await
        .unwrap_err();
    assert_eq!(failure.class, Class::NoCredentials);
    assert_eq!(
        failure.detail,
        "for jane at mydb.123456789012.us-east-1.rds.amazonaws.com:5432: there are none"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_shown_is_a_token() {
    let (_, tokens, _) = tokens(None);
    let token = token(&tokens, "jane").await;
    let shown = format!("{token:?} {tokens:?} {:?}", tokens.report());
    assert!(!shown.contains("Signature") && !shown.contains("nobody-sees"), "{shown}");
}
