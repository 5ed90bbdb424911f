// A Node client as a province would write it: @grpc/grpc-js with proto-loader over `proto/`,
// mutual TLS and a bound token. Run by tests/it/clients.rs, which starts the gateway and says where
// it is: TONGBAN_EDGE, TONGBAN_CERTS, TONGBAN_TOKEN, TONGBAN_PROTO, TONGBAN_APPLICATIONS.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const env = (name) => {
  assert.ok(process.env[name], `${name} is not set`);
  return process.env[name];
};
const edge = env('TONGBAN_EDGE');
const certs = env('TONGBAN_CERTS');
const proto = env('TONGBAN_PROTO');
const token = env('TONGBAN_TOKEN');
// Canonical applications as proto JSON, each of another person.
const applications = JSON.parse(env('TONGBAN_APPLICATIONS'));

const options = { keepCase: false, longs: String, enums: String, bytes: String, oneofs: true };
const load = (file, includeDirs) =>
  grpc.loadPackageDefinition(loader.loadSync(file, { ...options, includeDirs }));
const { ApplicationService } = load('tongban/v1/gateway.proto', [proto]).tongban.v1;

// proto-loader has (de)serialisers for methods only; protobufjs, which it stands on, for messages.
const protobuf = require('protobufjs');
const root = protobuf.loadSync(path.join(__dirname, 'details.proto'));
const decoder = (name) => (bytes) => {
  const type = root.lookupType(name);
  return type.toObject(type.decode(bytes), { defaults: true });
};

const file = (name) => fs.readFileSync(path.join(certs, name));
const credentials = grpc.credentials.combineChannelCredentials(
  grpc.credentials.createSsl(file('ca.pem'), file('44.key'), file('44.pem')),
  grpc.credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new grpc.Metadata();
    metadata.set('authorization', `Bearer ${token}`);
    done(null, metadata);
  }),
);
const deadline = () => ({ deadline: Date.now() + 60000 });

// Timestamps are messages here, RFC 3339 in proto JSON.
const message = (application) => {
  const time = (text) => ({ seconds: String(Date.parse(text) / 1000), nanos: 0 });
  const copy = structuredClone(application);
  for (const name of ['acceptTime', 'completeTime']) {
    if (copy[name]) copy[name] = time(copy[name]);
  }
  return copy;
};

const call = (client, method, request, key) =>
  new Promise((resolve, reject) => {
    const metadata = new grpc.Metadata();
    if (key) metadata.set('idempotency-key', key);
    let initial;
    const running = client[method](request, metadata, deadline(), (error, answer) => {
      if (error) reject(error);
      else resolve({ answer, replayed: initial?.get('idempotency-replayed')[0] });
    });
    running.on('metadata', (received) => { initial = received; });
  });

const tests = {
  async 'submits and gets the same answer to the same key'(client) {
    const application = message(applications[0]);
    const first = await call(client, 'submitApplication', { application }, 'node-1');
    assert.equal(first.replayed, undefined);
    assert.equal(first.answer.state, 'RECEIVED');
    assert.equal(first.answer.applicant.name, applications[0].applicant.name);
    assert.equal(first.answer.details, 'disabilitySubsidy');
    const again = await call(client, 'submitApplication', { application }, 'node-1');
    assert.equal(again.replayed, 'true');
    assert.equal(again.answer.id, first.answer.id);
    const read = await call(client, 'getApplication', { id: first.answer.id });
    assert.deepEqual(read.answer.applicant, first.answer.applicant);
  },

  async 'watches and sees the event'(client) {
    const stream = client.watchApplications({ afterEvent: '0' }, deadline());
    const seen = [];
    const enough = new Promise((resolve, reject) => {
      stream.on('data', (event) => {
        seen.push(event);
        if (seen.length === 2) resolve();
      });
      stream.on('error', (error) => {
        if (error.code !== grpc.status.CANCELLED) reject(error);
      });
    });
    const application = message(applications[1]);
    const { answer } = await call(client, 'submitApplication', { application }, 'node-2');
    await enough;
    stream.cancel();
    assert.equal(seen[1].applicationId, answer.id);
    assert.equal(seen[1].type, 'APPLICATION_RECEIVED');
    assert.ok(Number(seen[1].id) > Number(seen[0].id));
  },

  async 'reads the details of an error'(client) {
    const application = message(applications[2]);
    application.acceptingDivision = '999999';
    application.applicant.phone = 'no phone';
    const error = await call(client, 'submitApplication', { application }, 'node-3').then(
      () => assert.fail('it was taken'),
      (refused) => refused,
    );
    assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
    const [bytes] = error.metadata.get('grpc-status-details-bin');
    const status = decoder('google.rpc.Status')(bytes);
    const detail = (name) => {
      const found = status.details.find((any) => any.typeUrl.endsWith(`/google.rpc.${name}`));
      assert.ok(found, `no ${name}`);
      return decoder(`google.rpc.${name}`)(found.value);
    };
    const info = detail('ErrorInfo');
    assert.deepEqual([info.reason, info.domain], ['INVALID_ARGUMENT', 'tongban']);
    const fields = detail('BadRequest').fieldViolations.map((violation) => violation.field);
    assert.deepEqual(fields, ['application.acceptingDivision', 'application.applicant.phone']);
  },

  async 'is told that the key is missing'(client) {
    const application = message(applications[2]);
    await assert.rejects(call(client, 'submitApplication', { application }), (error) => {
      assert.equal(error.code, grpc.status.INVALID_ARGUMENT);
      return true;
    });
  },

  async 'gets no connection without a certificate'() {
    const bare = new ApplicationService(edge, grpc.credentials.createSsl(file('ca.pem')));
    await assert.rejects(call(bare, 'listApplications', {}), (error) => {
      assert.equal(error.code, grpc.status.UNAVAILABLE);
      return true;
    });
    bare.close();
  },
};

(async () => {
  const client = new ApplicationService(edge, credentials);
  let passed = 0;
  let failed = 0;
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(client);
      console.log(`node: ${name} ... ok`);
      passed += 1;
    } catch (error) {
      console.log(`node: ${name} ... FAILED\n${error.stack}`);
      failed += 1;
    }
  }
  client.close();
  console.log(`test result: ${failed ? 'FAILED' : 'ok'}. ${passed} passed; ${failed} failed`);
  process.exit(failed ? 1 : 0);
})();
