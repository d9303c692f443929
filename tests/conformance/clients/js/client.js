// A client of Vectron's official contract in JavaScript: its .proto, grpc-js, the options of the official client, no extensions.
//
//   node client.js PROTO_FOLDER ADDRESS EMAIL PASSWORD
//
// walks from an account to a key and a token, and with each credential from create to drop. Prints one line for each check and
// exits with 1 at the first that does not hold.
"use strict";

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [folder, address, email, password] = process.argv.slice(2);
const options = { keepCase: true, longs: String, enums: String, defaults: true, includeDirs: [folder] };
const { vectron } = grpc.loadPackageDefinition(
  loader.loadSync(["apigateway/apigateway.proto", "auth/auth.proto"], options),
);
const channel = {
  "grpc.max_receive_message_length": 16 * 1024 * 1024,
  "grpc.max_send_message_length": 16 * 1024 * 1024,
  "grpc.keepalive_time_ms": 30000,
  "grpc.keepalive_timeout_ms": 10000,
  "grpc.keepalive_permit_without_calls": 0,
  "grpc.primary_user_agent": "vectron-js-client",
};
const api = new vectron.v1.VectronService(address, grpc.credentials.createInsecure(), channel);
const auth = new vectron.auth.v1.AuthService(address, grpc.credentials.createInsecure(), channel);

// Each is a 32-bit float to the last bit, so they have to come back as they went.
const vectors = {
  near: [Math.fround(0.1), -0.5, Math.fround(268.4)],
  far: [1.5, 2.25, -8],
  "a/b c%": [0, Math.fround(1.1754944e-38), 7],
};

function metadata(token) {
  const sent = new grpc.Metadata();
  if (token) sent.set("authorization", `Bearer ${token}`);
  return sent;
}

const deadline = () => ({ deadline: Date.now() + 10000 });

function call(client, method, request, token) {
  return new Promise((resolve, reject) =>
    client[method](request, metadata(token), deadline(), (error, answer) => (error ? reject(error) : resolve(answer))),
  );
}

function snapshots(request, token) {
  return new Promise((resolve, reject) => {
    const all = [];
    const stream = api.SearchStream(request, metadata(token), deadline());
    stream.on("data", (answer) => all.push(answer));
    stream.on("end", () => resolve(all));
    stream.on("error", reject);
  });
}

function ok(what) {
  console.log(`ok   ${what}`);
}

async function refused(what, status, promise) {
  await assert.rejects(promise, (error) => error.code === grpc.status[status], `${what} is not ${status}`);
  ok(`${what} is ${status}`);
}

async function collection(credential, token) {
  const name = `js-${crypto.randomUUID()}`;
  const ask = (method, request) => call(api, method, request, token);
  const made = await ask("CreateCollection", { name, dimension: 3, distance: "euclidean" });
  assert.equal(made.success, true);
  ok(`${credential}: create`);
  await refused("create again", "ALREADY_EXISTS", ask("CreateCollection", { name, dimension: 3 }));

  const status = await ask("GetCollectionStatus", { name });
  assert.deepEqual([status.dimension, status.distance, status.shards[0].ready], [3, "euclidean", true]);
  assert.equal(typeof status.shards[0].leader_id, "string");
  ok("status");

  const points = Object.entries(vectors).map(([id, vector]) => ({ id, vector, payload: { name: id } }));
  assert.equal((await ask("Upsert", { collection: name, points })).upserted, 3);
  ok("upsert");

  const search = { collection: name, vector: vectors.far, top_k: 2, include_metadata: true };
  const { results } = await ask("Search", search);
  assert.deepEqual(results[0], { id: "far", score: 0, payload: { name: "far" }, vector: [] });
  assert.ok(results.length === 2 && results[1].score > 0);
  const withVectors = await ask("Search", { ...search, include_vectors: true });
  assert.deepEqual(withVectors.results[0].vector, vectors.far);
  // The official JavaScript client never sets include_metadata.
  const bare = await ask("Search", { collection: name, vector: vectors.far });
  assert.equal(bare.results.length, 3);
  ok("search");

  const streamed = await snapshots(search, token);
  assert.deepEqual(streamed.at(-1).results, results);
  await refused("stream of an anonymous caller", "UNAUTHENTICATED", snapshots(search, ""));
  ok("stream");

  for (const [id, vector] of Object.entries(vectors)) {
    const { point } = await ask("Get", { collection: name, id });
    assert.deepEqual(point, { id, vector, payload: { name: id } });
    ok(`get ${id}`);
  }
  await ask("Delete", { collection: name, id: "near" });
  await refused("get of what is deleted", "NOT_FOUND", ask("Get", { collection: name, id: "near" }));
  await refused("another dimension", "INVALID_ARGUMENT", ask("Search", { collection: name, vector: [1] }));
  await refused("no collection", "NOT_FOUND", ask("Search", { collection: `${name}-none`, vector: [1] }));

  const item = { result_id: "far", relevance_score: 5 };
  const told = await ask("SubmitFeedback", { collection: name, feedback_items: [item] });
  assert.equal(told.feedback_id.length, 36);
  ok("feedback");
  assert.equal((await ask("DeleteCollection", { name })).success, true);
  await refused("status of what is dropped", "NOT_FOUND", ask("GetCollectionStatus", { name }));
}

async function main() {
  const wrong = call(auth, "Login", { email, password: "Wrong-password-1" });
  await refused("login with another password", "UNAUTHENTICATED", wrong);
  const login = await call(auth, "Login", { email, password });
  const jwt = login.jwt_token;
  const profile = (await call(auth, "GetUserProfile", {}, jwt)).user;
  assert.deepEqual(profile, login.user);
  assert.equal(typeof profile.created_at, "string");
  const key = await call(auth, "CreateAPIKey", { name: "js conformance" }, jwt);
  const prefix = key.key_info.key_prefix;
  assert.equal((await call(auth, "ValidateAPIKey", { full_key: key.full_key })).valid, true);
  const sdk = (await call(auth, "CreateSDKJWT", { api_key_id: prefix }, jwt)).sdk_jwt;
  ok("account, key, token");

  await collection("login", jwt);
  await collection("key", key.full_key);
  await collection("SDK token", sdk);

  assert.equal((await call(auth, "DeleteAPIKey", { key_prefix: prefix }, jwt)).success, true);
  for (const token of [sdk, key.full_key, "no.jwt.here", ""]) {
    await refused("a credential that does not hold", "UNAUTHENTICATED", call(api, "ListCollections", {}, token));
  }
  console.log("all checks passed");
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`FAIL ${error.stack}`);
    process.exit(1);
  },
);
