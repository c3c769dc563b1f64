// The runtime's JavaScript peer, `createTenantRegistry` of @adcp/sdk, doing the work of the runtime's own bench.
//
// Called by run.sh beside it with the folder that npm installed into. Writes one JSON object per figure: `ns` or `us` is
// the median of the rounds, `best` the fastest of them, `tenants` how many are registered. registry.py does the same.
//
// What is chosen in the peer's favour: tenants have no signing key, so that they are healthy at once; hosts are texts
// made before the clock runs, in one piece as an HTTP parser makes them; and registering builds no server (an MCP server
// with its schemas, 1 to 2 ms and 60 KB per tenant), since ours builds none either. `--servers` has them built, as in
// production: look-ups among 1,000 tenants and more are several times slower then. What they walk through presumably
// lies further apart in memory.
//
// Invariant: only a right answer is timed. Every round counts its right answers, and a case whose first answer is wrong is
// written with a `note` and without a time.
import { readFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import { join } from 'node:path';

const SETTINGS = {
  '--tenants': '10,1000,10000,100000',
  '--rounds': '11',
  // How long a round may take. A round has as many look-ups as fit, or eight.
  '--round-ms': '50',
  // How long registering may take before that many tenants are skipped; here it is quadratic.
  '--fill-seconds': '120',
};
const FLAGS = ['--servers'];
const LOOKUPS_MAX = 1 << 16;
const PREFIXES = [1, 10, 100];

const [folder, ...given] = process.argv.slice(2);
const settings = { ...SETTINGS };
const flags = new Set();
while (given.length > 0) {
  const name = given.shift();
  if (name in SETTINGS && given.length > 0) settings[name] = given.shift();
  else if (FLAGS.includes(name)) flags.add(name);
  else throw new Error(`${name} is no setting; these are: ${[...Object.keys(SETTINGS), ...FLAGS].join(' ')}`);
}
const [rounds, roundMs, fillSeconds] = ['--rounds', '--round-ms', '--fill-seconds'].map(name => Number(settings[name]));
const sizes = settings['--tenants'].split(',').map(Number);
if (![rounds, roundMs, fillSeconds, ...sizes].every(number => number > 0)) throw new Error('settings are positive numbers');
const servers = flags.has('--servers');

const { createTenantRegistry, version } = load();
const peer = `@adcp/sdk ${version}${servers ? ' with servers' : ''}`;
const platform = {
  capabilities: { specialisms: [], supported_billing: ['agent'], config: {} },
  accounts: { resolution: 'explicit', resolve: async () => null },
};

for (const tenants of sizes) await measure(tenants);
for (const prefixes of PREFIXES) await measurePaths(prefixes);

function load() {
  const require = createRequire(join(folder, 'package.json'));
  const root = join(folder, 'node_modules/@adcp/sdk');
  const decisioning = join(root, 'dist/lib/server/decisioning');
  if (servers) {
    // It keeps tasks in memory only where this says so, and warns about its own tool names for every tenant.
    process.env.NODE_ENV = 'test';
    console.warn = () => {};
  } else {
    const path = join(decisioning, 'runtime/from-platform.js');
    const none = new Module(path);
    none.exports = { createAdcpServerFromPlatform: () => ({}) };
    none.loaded = true;
    require.cache[require.resolve(path)] = none;
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return { ...require(join(decisioning, 'tenant-registry.js')), version };
}

async function measure(tenants) {
  const registry = create();
  const problem = await fill(registry, tenants);
  if (problem) return figure('register', tenants, { note: `skipped: ${problem}` });

  const order = scrambled(tenants);
  const byHost = (what, host, right) => {
    lookups(what, tenants, order.map(host), order.map(right), host => registry.resolveByHost(host));
  };
  byHost('resolve_by_host', i => `t${i}.example.com`, i => `t${i}`);
  byHost('resolve_mixed_case', i => `T${i}.Example.COM`, i => `t${i}`);
  byHost('resolve_with_port', i => `t${i}.example.com:443`, i => `t${i}`);
  byHost('resolve_with_root_dot', i => `t${i}.example.com.`, i => `t${i}`);
  byHost('resolve_unknown', i => `u${i}.example.com`, () => undefined);

  const once = async () => {
    await register(registry, 'extra', 'https://extra.example.com');
    if (registry.resolveByHost('extra.example.com')?.tenantId !== 'extra') throw new Error('extra is not served');
    registry.unregister('extra');
  };
  await once();
  const count = fitting(await clock(once));
  const times = [];
  for (let round = 0; round < rounds; round++) {
    const took = await clock(async () => {
      for (let i = 0; i < count; i++) {
        await register(registry, 'extra', 'https://extra.example.com');
        registry.unregister('extra');
      }
    });
    times.push(took / count / 1e3);
  }
  figure('register_unregister', tenants, { us: median(times), best: Math.min(...times) });
}

// All prefixes are on one host, and nobody else is registered.
async function measurePaths(prefixes) {
  const registry = create();
  for (let i = 0; i < prefixes; i++) await register(registry, `p${i}`, `https://paths.example.com/p${i}`);
  const order = scrambled(prefixes);
  const [paths, right] = [order.map(i => `/p${i}/mcp`), order.map(i => `p${i}`)];
  lookups('resolve_by_path', prefixes, paths, right, path => registry.resolveByRequest('paths.example.com', path));
}

function create() {
  return createTenantRegistry({ defaultServerOptions: { name: 'bench', version: '1.0.0' } });
}

async function register(registry, id, agentUrl) {
  const { health } = await registry.register(id, { agentUrl, platform, label: id }, { awaitFirstValidation: true });
  if (health !== 'healthy') throw new Error(`${id} is ${health}`);
}

// Gives why it stopped, if it did: when it takes too long, or will.
async function fill(registry, tenants) {
  const begin = performance.now();
  for (let i = 0; i < tenants; i++) {
    await register(registry, `t${i}`, `https://t${i}.example.com`);
    const seconds = (performance.now() - begin) / 1e3;
    // At least: each takes longer than the one before.
    const expected = (seconds / (i + 1)) * tenants;
    if (seconds > fillSeconds || (seconds > 5 && expected > fillSeconds)) {
      return `registering would take longer than ${fillSeconds} s: ${i + 1} were registered in ${seconds.toFixed(1)} s`;
    }
  }
  process.stderr.write(`${peer}: ${tenants} registered in ${((performance.now() - begin) / 1e3).toFixed(2)} s\n`);
}

function lookups(what, tenants, hosts, right, resolve) {
  const asked = hosts.map(inOnePiece);
  const answer = resolve(asked[0])?.tenantId;
  if (answer !== right[0]) {
    return figure(what, tenants, { note: answer === undefined ? 'not matched' : `matched ${answer}` });
  }

  const run = count => {
    let rightOnes = 0;
    const begin = process.hrtime.bigint();
    for (let i = 0; i < count; i++) {
      const at = i % asked.length;
      if (resolve(asked[at])?.tenantId === right[at]) rightOnes++;
    }
    const took = Number(process.hrtime.bigint() - begin);
    if (rightOnes !== count) throw new Error(`${what}: ${count - rightOnes} wrong answers of ${count}`);
    return took;
  };
  run(8);
  // The first rounds are for the compiler, and show how many fit.
  let count = 8;
  for (let warm = 0; warm < 3; warm++) count = fitting(run(count) / count);
  const times = Array.from({ length: rounds }, () => run(count) / count);
  figure(what, tenants, { ns: median(times), best: Math.min(...times) });
}

// V8 keeps a text made of parts as its parts, which costs at every comparison.
function inOnePiece(text) {
  return Buffer.from(text, 'latin1').toString('latin1');
}

// Which tenants are asked about one after the other: as scrambled as registry.py has them.
function scrambled(tenants) {
  const order = [];
  let state = 1;
  for (let i = 0; i < Math.min(LOOKUPS_MAX, Math.max(tenants, 1024)); i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    order.push((state >>> 4) % tenants);
  }
  return order;
}

function fitting(ns) {
  return Math.min(LOOKUPS_MAX, Math.max(8, Math.floor((roundMs * 1e6) / ns)));
}

async function clock(work) {
  const begin = process.hrtime.bigint();
  await work();
  return Number(process.hrtime.bigint() - begin);
}

function median(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function figure(what, tenants, result) {
  const round = value => (typeof value === 'number' ? Number(value.toFixed(1)) : value);
  const rounded = Object.fromEntries(Object.entries(result).map(([name, value]) => [name, round(value)]));
  process.stdout.write(`${JSON.stringify({ peer, what, tenants, ...rounded })}\n`);
}
