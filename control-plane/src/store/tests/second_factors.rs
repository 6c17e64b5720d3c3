//! The second factor: asked for once a device has shown it, and used up by each use.

use chrono::Utc;

use super::sessions::{PASSWORD, asker, begin, device, give_password, password, person};
use super::world::{World, on_both};
use crate::domain::totp;
use crate::ops::{self, NotLetIn, OpsError, SignIn};
use crate::passwords::Passwords;
use crate::store::second_factors::FactorState;
use crate::store::{NewSession, StoreError};

on_both!(
    a_second_factor_is_asked_for_when_a_device_has_shown_it,
    a_code_works_once_however_many_try,
    a_recovery_code_works_once,
    it_is_turned_off_by_the_password,
);

/// What the device shows, some steps from now.
fn code(secret: &[u8], ahead: u64) -> String {
    let now = u64::try_from(Utc::now().timestamp()).unwrap();
    totp::code_at(secret, totp::step_at(now) + ahead)
}

async fn sign_in(
    world: &World,
    passwords: &Passwords,
    code: Option<&str>,
) -> Result<NewSession, OpsError> {
    let who = SignIn {
        email: "anna@example.org".to_owned(),
        password: password(PASSWORD),
        code: code.map(str::to_owned),
    };
    ops::sign_in(&world.store, passwords, who, &device()).await
}

pub(super) fn is_refused<T>(result: Result<T, OpsError>, why: NotLetIn) {
    let result = result.map(drop);
    let refused = matches!(result, Err(OpsError::NotLetIn(found)) if found == why);
    assert!(refused, "{why:?}: {result:?}");
}

/// Proposes a secret, and gives it.
async fn propose(world: &World, passwords: &Passwords) -> Vec<u8> {
    let (store, person) = (&world.store, world.tenant.person());
    let password = password(PASSWORD);
    let made = ops::propose_second_factor(store, passwords, person, password, "Towline").await;
    let letters = made.unwrap().letters;
    data_encoding::BASE32_NOPAD
        .decode(letters.as_bytes())
        .unwrap()
}

/// Turns it on, and gives the secret and the recovery codes.
pub(super) async fn enable(world: &World, passwords: &Passwords) -> (Vec<u8>, Vec<String>) {
    let secret = propose(world, passwords).await;
    let now = code(&secret, 0);
    let codes = ops::enable_second_factor(&world.store, world.tenant.person(), &now).await;
    let codes = codes.unwrap().iter().map(|code| code.to_string()).collect();
    (secret, codes)
}

async fn a_second_factor_is_asked_for_when_a_device_has_shown_it(world: &World) {
    let (store, person) = (&world.store, world.tenant.person());
    let passwords = give_password(world).await;
    let status = async || store.second_factor_status(person).await.unwrap();
    assert_eq!(status().await.state, FactorState::Off);
    let wrong = password("wrong horse battery");
    let refused = ops::propose_second_factor(store, &passwords, person, wrong, "T").await;
    is_refused(refused, NotLetIn::WrongPassword);
    let early = ops::enable_second_factor(store, person, "123456").await;
    assert!(matches!(
        early,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));

    let former = propose(world, &passwords).await;
    let secret = propose(world, &passwords).await;
    assert_eq!(status().await.state, FactorState::Pending);
    sign_in(world, &passwords, None).await.unwrap();
    let by_former = ops::enable_second_factor(store, person, &code(&former, 0)).await;
    is_refused(by_former, NotLetIn::WrongCode);
    let session = begin(world, &world.tenant).await;
    let now = code(&secret, 0);
    let codes = ops::enable_second_factor(store, person, &now)
        .await
        .unwrap();
    assert_eq!(codes.len(), 10);
    assert!(
        asker(world, &session, None).await.is_none(),
        "it began without"
    );
    let on = status().await;
    assert_eq!((on.state, on.recovery_codes_left), (FactorState::On, 10));

    is_refused(
        sign_in(world, &passwords, None).await,
        NotLetIn::CodeRequired,
    );
    is_refused(
        sign_in(world, &passwords, Some("123")).await,
        NotLetIn::WrongCode,
    );
    is_refused(
        sign_in(world, &passwords, Some("")).await,
        NotLetIn::WrongCode,
    );
    // The code that turned it on is used up.
    is_refused(
        sign_in(world, &passwords, Some(&now)).await,
        NotLetIn::WrongCode,
    );
    sign_in(world, &passwords, Some(&code(&secret, 1)))
        .await
        .unwrap();
    let again = ops::enable_second_factor(store, person, &code(&secret, 1)).await;
    assert!(matches!(
        again,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));
    let password = password(PASSWORD);
    let again = ops::propose_second_factor(store, &passwords, person, password, "T").await;
    assert!(matches!(
        again,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));
}

async fn race(world: &World, passwords: &Passwords, code: &str) -> usize {
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, passwords, code) = (world.store.clone(), passwords.clone(), code.to_owned());
        racers.spawn(async move {
            let who = SignIn {
                email: "anna@example.org".to_owned(),
                password: password(PASSWORD),
                code: Some(code),
            };
            ops::sign_in(&store, &passwords, who, &device()).await
        });
    }
    let mut won = 0;
    while let Some(raced) = racers.join_next().await {
        match raced.unwrap() {
            Ok(_) => won += 1,
            lost => is_refused(lost, NotLetIn::WrongCode),
        }
    }
    won
}

async fn a_code_works_once_however_many_try(world: &World) {
    let passwords = give_password(world).await;
    let (secret, _) = enable(world, &passwords).await;
    assert_eq!(race(world, &passwords, &code(&secret, 1)).await, 1);
}

async fn a_recovery_code_works_once(world: &World) {
    let passwords = give_password(world).await;
    let (_, codes) = enable(world, &passwords).await;
    assert_eq!(race(world, &passwords, &codes[3].to_uppercase()).await, 1);
    let person = world.tenant.person();
    let status = world.store.second_factor_status(person).await.unwrap();
    assert_eq!(status.recovery_codes_left, 9);
}

async fn it_is_turned_off_by_the_password(world: &World) {
    let (store, passwords) = (&world.store, give_password(world).await);
    let (_, codes) = enable(world, &passwords).await;
    let session = sign_in(world, &passwords, Some(&codes[0])).await.unwrap();
    let me = person(world, &session).await;
    let wrong = password("wrong horse battery");
    let refused = ops::disable_second_factor(store, &passwords, &me, wrong).await;
    is_refused(refused, NotLetIn::WrongPassword);
    let disable = || ops::disable_second_factor(store, &passwords, &me, password(PASSWORD));
    disable().await.unwrap();
    sign_in(world, &passwords, None).await.unwrap();
    let status = store.second_factor_status(&me).await.unwrap();
    assert_eq!(
        (status.state, status.recovery_codes_left),
        (FactorState::Off, 0)
    );
    let again = disable().await;
    assert!(matches!(
        again,
        Err(OpsError::Store(StoreError::Conflict { .. }))
    ));
}
