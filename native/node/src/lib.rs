//! The addon of plugins/host-linux: it takes a request apart, calls native/core, and puts the answer together. Nothing is decided here.
//!
//! A request is JSON with its verb in `call`; an answer is JSON, `{"ok": …}` or `{"failure": Failure}`. Text, because napi makes a BigInt
//! of every number that needs more than 32 bits, and an error of napi carries neither code nor errno. A panic is the failure of its call.

mod request;

use napi::bindgen_prelude::{Buffer, Either, Object};
use napi::{Env, Result};
use napi_derive::napi;
use request::Request;
use serde_json::{Value, json};
use tsbox_core::failure::{Code, Failure, caught};

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must be the failure of one call: build with scripts/build-addon, whose profile unwinds");

/// A caller's word to stop, for one or more requests.
#[napi]
#[derive(Default)]
pub struct Cancel(tsbox_core::tree::Cancel);

#[napi]
impl Cancel {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    #[napi]
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

/// Carries out a request on a thread of its own, which ends with it: so a request may join another network namespace, and a long one holds
/// up none of the four threads that Node keeps for its file system calls.
#[napi(ts_return_type = "Promise<string>")]
pub fn call<'env>(env: &'env Env, request: String, cancel: &Cancel) -> Result<Object<'env>> {
    let (deferred, promise) = env.create_deferred::<String, Box<dyn FnOnce(Env) -> Result<String>>>()?;
    let cancel = cancel.0.clone();
    let spawned = std::thread::Builder::new().name("tsbox-call".to_owned()).spawn(move || {
        let answer = answer(caught(|| Request::run_text(&request, &cancel)));
        deferred.resolve(Box::new(move |_| Ok(answer)));
    });
    spawned.map_err(|error| napi::Error::from_reason(format!("clone: {error}")))?;
    Ok(promise)
}

/// Carries out a request at once: for what takes less than a thread does.
#[napi]
pub fn call_now(request: String) -> String {
    answer(caught(|| Request::run_text(&request, &Default::default())))
}

/// A seccomp profile (the runtime spec's `linux.seccomp`, JSON) as the BPF program that the kernel takes; else the failure as JSON.
#[napi]
pub fn compile_seccomp(profile: String) -> Either<Buffer, String> {
    bytes(caught(|| tsbox_core::container::seccomp::compile(&profile)))
}

/// A small file below `root`: its bytes, or the failure as JSON.
#[napi]
pub fn read_file(root: String, path: String, limit: u32) -> Either<Buffer, String> {
    bytes(caught(|| request::read_file(&root, &path, limit)))
}

fn bytes(result: std::result::Result<Vec<u8>, Failure>) -> Either<Buffer, String> {
    match result {
        Ok(bytes) => Either::A(bytes.into()),
        Err(failure) => Either::B(answer(Err(failure))),
    }
}

fn answer(result: std::result::Result<Value, Failure>) -> String {
    match result {
        Ok(value) => json!({ "ok": value }).to_string(),
        Err(failure) => json!({ "failure": failure }).to_string(),
    }
}

pub(crate) fn malformed(error: serde_json::Error) -> Failure {
    Failure::new(
        Code::InvalidArgument,
        format!("the request to the native addon is malformed: {error}"),
    )
}
