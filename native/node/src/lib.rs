//! The addon of plugins/host-linux. It parses a request, calls native/core, and builds the answer. It makes no decisions.
//!
//! A request is JSON with its verb in `call`. An answer is JSON, `{"ok": …}` or `{"failure": Failure}`. JSON text is used because napi
//! turns every number of more than 32 bits into a BigInt, and an error of napi has neither code nor errno. A panic is reported as the
//! failure of its call.

mod request;

use napi::bindgen_prelude::{Buffer, Either, Object};
use napi::{Env, Result};
use napi_derive::napi;
use request::Request;
use serde_json::{Value, json};
use tsbox_core::failure::{Code, Failure, caught};

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must be the failure of one call: build with scripts/build-addon, whose profile unwinds");

/// Cancels one or more requests of a caller.
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

/// Runs a request on its own thread, which ends with it. So a request may join another network namespace, and a long one blocks none of the
/// four threads that Node keeps for its file system calls.
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

/// Runs a request synchronously: for requests that take less time than a thread's start.
#[napi]
pub fn call_now(request: String) -> String {
    answer(caught(|| Request::run_text(&request, &Default::default())))
}

/// Compiles a seccomp profile (the runtime spec's `linux.seccomp`, JSON) to a BPF program for the kernel; returns a failure as JSON.
#[napi]
pub fn compile_seccomp(profile: String) -> Either<Buffer, String> {
    bytes(caught(|| tsbox_core::container::seccomp::compile(&profile)))
}

/// Reads a small file below `root`; returns its bytes, or a failure as JSON.
#[napi]
pub fn read_file(root: String, path: String, limit: u32) -> Either<Buffer, String> {
    bytes(caught(|| request::read_file(&root, &path, limit)))
}

/// Sends datagrams to a unix socket without waiting; returns how many it has taken, or a failure as JSON. `lengths`: of the datagrams that
/// `bytes` holds one after another.
#[napi]
pub fn send_datagrams(path: String, bytes: Buffer, lengths: Vec<u32>, as_file: bool) -> Either<u32, String> {
    match caught(|| request::send_datagrams(&path, &bytes, &lengths, as_file)) {
        Ok(count) => Either::A(count),
        Err(failure) => Either::B(answer(Err(failure))),
    }
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
